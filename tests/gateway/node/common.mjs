// What every client is asked, and how it is seen that the provider stopped when a client left.
export const { BASE_URL: base, API_KEY: key, MODEL: model, EMBEDDER: embedder, SIMULATOR: simulator } = process.env;
export const hello = "Say hello to the road.";
export const look = "[[simulate: calls=2]] Look at the hills.";
export const refused = "[[simulate: status=429]]";
export const long = "[[simulate: big=4000 rate=300]] Go on and on.";
export const picture = "iVBORw0KGgo=";
export const schema = {
  type: "object",
  properties: { at: { type: "string" } },
  required: ["at"],
  additionalProperties: false,
};
export const said = (content) => [{ role: "user", content }];

// How many tokens a picture adds to what the model reads.
export const added = (seen, plain) => seen - plain;

async function abandoned() {
  return (await (await fetch(`${simulator}/stats`)).json()).abandoned;
}

// Opens a stream with `begin(signal)`, reads five pieces of it, leaves; milliseconds until the provider was stopped, or Infinity.
export async function leave(begin) {
  const before = await abandoned();
  const controller = new AbortController();
  let pieces = 0;
  try {
    for await (const _ of await begin(controller.signal)) if ((pieces += 1) === 5) break;
  } catch (caught) {
    if (pieces < 5) throw caught;
  }
  controller.abort();
  const left = Date.now();
  while (Date.now() - left < 5000) {
    if ((await abandoned()) > before) return Date.now() - left;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return Infinity;
}

// Arguments of streamed calls, put together by index.
export function gather(gathered, deltas) {
  for (const one of deltas ?? []) {
    gathered[one.index] = (gathered[one.index] ?? "") + (one.function?.arguments ?? "");
  }
}
