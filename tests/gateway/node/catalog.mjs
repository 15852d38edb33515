// OpenRouter's clients read the whole catalog; their schemas check every field. One line of JSON a client.
import { OpenRouter } from "@openrouter/sdk";
import { OpenRouter as OpenRouterOfAugust } from "openrouter-sdk-august";

// EVERY: of how many models one is asked for its endpoints.
const { BASE_URL: base, API_KEY: key, EVERY: every } = process.env;
const all = { outputModalities: "all" };

// What is on all pages of a list.
async function pages(list) {
  const found = [];
  if (!list[Symbol.asyncIterator]) return list.data;
  for await (const page of list) found.push(...(page.result ?? page).data);
  return found;
}

async function readAll(Client) {
  const client = new Client({ apiKey: key, serverURL: `${base}/api/v1`, retryConfig: { strategy: "none" } });
  const models = await pages(await client.models.list(all));
  let endpoints = 0;
  for (const { id } of models.filter((_, place) => place % Number(every) === 0)) {
    const [author, ...rest] = id.split("/");
    endpoints += (await client.endpoints.list({ author, slug: rest.join("/") })).data.endpoints.length;
  }
  const images = (await client.images.listModels()).data;
  const [author, ...rest] = images[0].id.split("/");
  return {
    models: models.length,
    count: (await client.models.count(all)).data.count,
    mine: (await pages(await client.models.listForUser({ bearer: key }))).length,
    one: (await client.models.get({ author: "openai", slug: "gpt-4o-mini" })).data.id,
    endpoints,
    zero_retention: (await client.endpoints.listZdrEndpoints()).data.length,
    providers: (await client.providers.list()).data.length,
    embeddings: (await pages(await client.embeddings.listModels())).length,
    images: images.length,
    image_endpoints: (await client.images.listModelEndpoints({ author, slug: rest.join("/") })).endpoints.length > 0,
  };
}

for (const [name, Client] of Object.entries({ openrouter: OpenRouter, "openrouter-august": OpenRouterOfAugust })) {
  const result = await readAll(Client).catch((caught) => ({ failed: `${caught?.stack ?? caught}` }));
  console.log(JSON.stringify({ name, ...result }));
}
