// Each official client asks the gateway for words whole, words streamed and tools, and meets an error. One line of JSON a client.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { createOpenAI } from "@ai-sdk/openai";
import { OpenRouter } from "@openrouter/sdk";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { OpenRouter as OpenRouterOfAugust } from "openrouter-sdk-august";
import { generateText, jsonSchema, streamText, tool } from "ai";

const { BASE_URL: base, API_KEY: key, MODEL: model } = process.env;
const messages = [{ role: "user", content: "Say hello to the road." }];
const look = [{ role: "user", content: "[[simulate: calls=2]] Look at the hills." }];
const refused = [{ role: "user", content: "[[simulate: status=429]]" }];
const schema = { type: "object", properties: { at: { type: "string" } } };
const functions = [{ type: "function", function: { name: "look", parameters: schema } }];

async function openai() {
  const client = new OpenAI({ baseURL: `${base}/api/v1`, apiKey: key, maxRetries: 0 });
  const whole = await client.chat.completions.create({ model, messages });
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  const called = await client.chat.completions.create({ model, messages: look, tools: functions });
  const answered = await client.responses.create({ model, input: messages[0].content });
  const error = await client.chat.completions.create({ model, messages: refused }).catch((caught) => caught.status);
  const calls = called.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments));
  return { whole: whole.choices[0].message.content, streamed, calls, error, responses: answered.output_text };
}

async function anthropic() {
  const client = new Anthropic({ baseURL: `${base}/api`, apiKey: key, maxRetries: 0 });
  const whole = await client.messages.create({ model, max_tokens: 500, messages });
  const stream = client.messages.stream({ model, max_tokens: 500, messages });
  const streamed = await stream.finalText();
  const called = await client.messages.create({ model, max_tokens: 500, messages: look, tools: [{ name: "look", input_schema: schema }] });
  const error = await client.messages.create({ model, max_tokens: 500, messages: refused }).catch((caught) => caught.status);
  const calls = called.content.filter((block) => block.type === "tool_use").map((block) => block.input);
  return { whole: whole.content[0].text, streamed, calls, error };
}

async function openrouter(Client) {
  const client = new Client({ apiKey: key, serverURL: `${base}/api/v1`, retryConfig: { strategy: "none" } });
  const send = (body) => client.chat.send({ chatRequest: { model, ...body } });
  const whole = await send({ messages });
  let streamed = "";
  for await (const chunk of await send({ messages, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  const called = await send({ messages: look, tools: functions });
  const error = await send({ messages: refused }).catch((caught) => caught.statusCode);
  const calls = called.choices[0].message.toolCalls.map((call) => JSON.parse(call.function.arguments));
  return { whole: whole.choices[0].message.content, streamed, calls, error };
}

async function vercel(chosen) {
  const tools = { look: tool({ description: "Look.", inputSchema: jsonSchema(schema) }) };
  const whole = await generateText({ model: chosen, messages, maxRetries: 0 });
  let streamed = "";
  for await (const piece of streamText({ model: chosen, messages, maxRetries: 0 }).textStream) streamed += piece;
  const called = await generateText({ model: chosen, messages: look, tools, maxRetries: 0 });
  const error = await generateText({ model: chosen, messages: refused, maxRetries: 0 }).catch((caught) => caught.statusCode);
  return { whole: whole.text, streamed, calls: called.toolCalls.map((call) => call.input), error };
}

const tries = {
  openai,
  anthropic,
  openrouter: () => openrouter(OpenRouter),
  "openrouter-august": () => openrouter(OpenRouterOfAugust),
  "vercel-openrouter": () => vercel(createOpenRouter({ baseURL: `${base}/api/v1`, apiKey: key })(model)),
  "vercel-openai": () => vercel(createOpenAI({ baseURL: `${base}/api/v1`, apiKey: key }).chat(model)),
};
for (const [name, run] of Object.entries(tries)) {
  const result = await run().catch((caught) => ({ failed: `${caught?.stack ?? caught}` }));
  console.log(JSON.stringify({ name, ...result }));
}
