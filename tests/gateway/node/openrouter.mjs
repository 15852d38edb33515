// OpenRouter's client, of any version.
import { added, base, embedder, gather, hello, key, leave, long, look, model, picture, refused, said, schema } from "./common.mjs";

const functions = [{ type: "function", function: { name: "look", parameters: schema } }];
const format = { type: "json_schema", jsonSchema: { name: "place", schema, strict: true } };
const seen = [{ type: "text", text: hello }, { type: "image_url", imageUrl: { url: `data:image/png;base64,${picture}` } }];

export async function openrouter(Client) {
  const client = new Client({ apiKey: key, serverURL: `${base}/api/v1`, retryConfig: { strategy: "none" } });
  const ask = (content, more = {}, options = {}) => client.chat.send({ chatRequest: { model, messages: said(content), ...more } }, options);
  const whole = await ask(hello);
  let streamed = "";
  for await (const chunk of await ask(hello, { stream: true })) streamed += chunk.choices[0]?.delta?.content ?? "";
  const called = await ask(look, { tools: functions });
  const gathered = [];
  for await (const chunk of await ask(look, { tools: functions, stream: true })) gather(gathered, chunk.choices[0]?.delta?.toolCalls);
  const parsed = await ask(hello, { responseFormat: format });
  const thought = await ask(hello, { reasoning: { effort: "high" } });
  const vectors = await client.embeddings.generate({ requestBody: { model: embedder, input: ["a road", "a hill"] } });
  return {
    whole: whole.choices[0].message.content,
    streamed,
    calls: called.choices[0].message.toolCalls.map((call) => JSON.parse(call.function.arguments)),
    streamedCalls: gathered.map((text) => JSON.parse(text)),
    structured: JSON.parse(parsed.choices[0].message.content),
    pictureTokens: added((await ask(seen)).usage.promptTokens, whole.usage.promptTokens),
    thoughts: thought.choices[0].message.reasoning,
    vectors: vectors.data.map((one) => one.embedding.length),
    error: await ask(refused).catch((caught) => [caught.constructor.name, caught.statusCode]),
    stoppedMs: await leave((signal) => ask(long, { stream: true, maxTokens: 5000 }, { signal })),
  };
}
