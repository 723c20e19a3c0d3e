// usage.mjs MODEL: streams one answer without and one with usage, with OpenAI's own client, and prints for each how many
// chunks spoke of usage or had no choices, and the numbers.
import { createRequire } from "node:module";
const OpenAI = createRequire(process.env.OPENAI + "/")("openai").default;
const client = new OpenAI({ baseURL: process.env.BASE, apiKey: process.env.KEY, maxRetries: 0 });
for (const include_usage of [undefined, false, true]) {
  const stream = await client.chat.completions.create({
    model: process.argv[2],
    messages: [{ role: "user", content: "Who are you?" }],
    stream: true,
    temperature: 0,
    ...(include_usage === undefined ? {} : { stream_options: { include_usage } }),
  });
  let odd = 0, usage = null;
  for await (const chunk of stream) {
    if (chunk.usage || !chunk.choices.length) odd++;
    usage = chunk.usage ?? usage;
  }
  console.log(odd, usage?.prompt_tokens ?? 0, usage?.completion_tokens ?? 0);
}
