// OpenAI's client, Anthropic's, and what they are asked.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { added, base, embedder, gather, hello, key, leave, long, look, model, picture, refused, said, schema } from "./common.mjs";

const functions = [{ type: "function", function: { name: "look", parameters: schema, strict: true } }];
const format = { type: "json_schema", json_schema: { name: "place", schema, strict: true } };
const seen = [{ type: "text", text: hello }, { type: "image_url", image_url: { url: `data:image/png;base64,${picture}` } }];

export async function openai() {
  const client = new OpenAI({ baseURL: `${base}/api/v1`, apiKey: key, maxRetries: 0 });
  const ask = (content, more = {}, options = {}) => client.chat.completions.create({ model, messages: said(content), ...more }, options);
  const whole = await ask(hello);
  let streamed = "";
  for await (const chunk of await ask(hello, { stream: true })) streamed += chunk.choices[0]?.delta?.content ?? "";
  const called = await ask(look, { tools: functions });
  const gathered = [];
  for await (const chunk of await ask(look, { tools: functions, stream: true })) gather(gathered, chunk.choices[0]?.delta?.tool_calls);
  const parsed = await client.chat.completions.parse({ model, messages: said(hello), response_format: format });
  const thought = await ask(hello, { reasoning_effort: "high" });
  const vectors = await client.embeddings.create({ model: embedder, input: ["a road", "a hill"] });
  return {
    whole: whole.choices[0].message.content,
    streamed,
    calls: called.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments)),
    streamedCalls: gathered.map((text) => JSON.parse(text)),
    structured: parsed.choices[0].message.parsed ?? JSON.parse(parsed.choices[0].message.content),
    pictureTokens: added((await ask(seen)).usage.prompt_tokens, whole.usage.prompt_tokens),
    thoughts: thought.choices[0].message.reasoning,
    vectors: vectors.data.map((one) => one.embedding.length),
    error: await ask(refused).catch((caught) => [caught.constructor.name, caught.status]),
    stoppedMs: await leave((signal) => ask(long, { stream: true, max_tokens: 5000 }, { signal })),
    responses: (await client.responses.create({ model, input: hello })).output_text,
  };
}

export async function anthropic() {
  const client = new Anthropic({ baseURL: `${base}/api`, apiKey: key, maxRetries: 0 });
  const body = (content, more) => ({ model, max_tokens: 5000, messages: said(content), ...more });
  const ask = (content, more = {}) => client.messages.create(body(content, more));
  const tools = [{ name: "look", input_schema: schema }];
  const inputs = (message) => message.content.filter((block) => block.type === "tool_use").map((block) => block.input);
  const whole = await ask(hello);
  const thought = await ask(hello, { thinking: { type: "enabled", budget_tokens: 1024 } });
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: picture } };
  const parsed = await ask(hello, { output_config: { format: { type: "json_schema", schema } } });
  const pictured = await ask([{ type: "text", text: hello }, image]);
  return {
    whole: whole.content[0].text,
    streamed: await client.messages.stream(body(hello)).finalText(),
    calls: inputs(await ask(look, { tools })),
    streamedCalls: inputs(await client.messages.stream(body(look, { tools })).finalMessage()),
    structured: JSON.parse(parsed.content[0].text),
    pictureTokens: added(pictured.usage.input_tokens, whole.usage.input_tokens),
    thoughts: thought.content[0].thinking,
    error: await ask(refused).catch((caught) => [caught.constructor.name, caught.status]),
    stoppedMs: await leave((signal) => client.messages.create(body(long, { stream: true }), { signal })),
  };
}
