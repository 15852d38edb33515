// Each official client asks the gateway for everything it can; one line of JSON a client.
import { createOpenAI } from "@ai-sdk/openai";
import { OpenRouter } from "@openrouter/sdk";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { OpenRouter as OpenRouterOfAugust } from "openrouter-sdk-august";
import { base, embedder, key, model } from "./common.mjs";
import { anthropic, openai } from "./openai.mjs";
import { openrouter } from "./openrouter.mjs";
import { vercel } from "./vercel.mjs";

const router = createOpenRouter({ baseURL: `${base}/api/v1`, apiKey: key });
const maker = createOpenAI({ baseURL: `${base}/api/v1`, apiKey: key });
const effort = { openai: { reasoningEffort: "high", forceReasoning: true }, openrouter: { reasoning: { effort: "high" } } };
const tries = {
  openai,
  anthropic,
  openrouter: () => openrouter(OpenRouter),
  "openrouter-august": () => openrouter(OpenRouterOfAugust),
  "vercel-openrouter": () => vercel(router(model), router.textEmbeddingModel(embedder), effort),
  "vercel-openai": () => vercel(maker.chat(model), maker.textEmbeddingModel(embedder), effort),
  "vercel-responses": () => vercel(maker.responses(model), maker.textEmbeddingModel(embedder), effort),
};
for (const [name, run] of Object.entries(tries)) {
  const result = await run().catch((caught) => ({ failed: `${caught?.stack ?? caught}` }));
  console.log(JSON.stringify({ name, ...result }));
}
