// Vercel's AI SDK, on any of its providers.
import { embedMany, generateText, jsonSchema, Output, streamText, tool } from "ai";
import { added, hello, leave, long, look, picture, refused, said, schema } from "./common.mjs";

export async function vercel(chosen, embedding, thinking) {
  const tools = { look: tool({ description: "Look.", inputSchema: jsonSchema(schema) }) };
  const wish = (content, more = {}) => ({ model: chosen, messages: said(content), maxRetries: 0, onError: () => {}, ...more });
  const ask = (content, more) => generateText(wish(content, more));
  const whole = await ask(hello);
  let streamed = "";
  for await (const piece of streamText(wish(hello)).textStream) streamed += piece;
  const parsed = await ask(hello, { output: Output.object({ schema: jsonSchema(schema) }) });
  const pictured = await ask([{ type: "text", text: hello }, { type: "image", image: picture, mediaType: "image/png" }]);
  const thought = await ask(hello, { providerOptions: thinking });
  const vectors = await embedMany({ model: embedding, values: ["a road", "a hill"] });
  return {
    whole: whole.text,
    streamed,
    calls: (await ask(look, { tools })).toolCalls.map((call) => call.input),
    streamedCalls: (await streamText(wish(look, { tools })).toolCalls).map((call) => call.input),
    structured: parsed.output,
    pictureTokens: added(pictured.usage.inputTokens, whole.usage.inputTokens),
    thoughts: thought.reasoningText || `The prompt has about: ${thought.usage.outputTokenDetails.reasoningTokens} tokens thought`,
    vectors: vectors.embeddings.map((one) => one.length),
    error: await ask(refused).catch((caught) => [caught.constructor.name, caught.statusCode]),
    stoppedMs: await leave((signal) => streamText(wish(long, { abortSignal: signal, maxOutputTokens: 5000 })).textStream),
  };
}
