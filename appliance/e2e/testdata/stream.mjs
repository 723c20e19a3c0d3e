// stream.mjs MODEL N: lists the models, then streams N answers, one a line, with OpenAI's own client.
import { createRequire } from "node:module";
const OpenAI = createRequire(process.env.OPENAI + "/")("openai").default;
const client = new OpenAI({ baseURL: process.env.BASE, apiKey: process.env.KEY, maxRetries: 0 });
const [model, n] = [process.argv[2], Number(process.argv[3])];
console.log("models:", (await client.models.list()).data.map((m) => m.id).join(","));
for (let i = 0; i < n; i++) {
  const stream = await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: "Who are you?" }],
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0,
  });
  let text = "", finish = null, usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  if (finish !== "stop" || !usage?.completion_tokens) throw new Error(`finish ${finish}, usage ${JSON.stringify(usage)}`);
  console.log(text);
}
