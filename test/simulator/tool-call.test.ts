import t from 'tap';
import { THOUGHT_SIGNATURE } from '../../src/simulator/tool-call.ts';
import { CHAT, GENERATE, start, STREAM } from './run.ts';

const prompt = 'How warm is it? [[call:get_weather city=Oslo unit=celsius]]';
const question = { role: 'user', parts: [{ text: prompt }] };
const tools = [{ functionDeclarations: [{ name: 'get_weather' }] }];
const unlimited = { models: {}, default: { rpm: null, tpm: null, rpd: null } };
const call = { name: 'get_weather', args: { city: 'Oslo', unit: 'celsius' } };

t.test('a prompt can have a declared function called, and its answer gets words', async (t) => {
  const { post } = await start(t, unlimited);
  const { text } = await post(GENERATE, { contents: [question], tools });
  const { content } = JSON.parse(text).candidates[0];
  t.match(content.parts, [{ functionCall: call, thoughtSignature: THOUGHT_SIGNATURE }]);
  t.equal(content.parts.length, 1);
  const streamed = await post(`${STREAM}?alt=sse`, { contents: [question], tools });
  t.match(streamed.text, /^data: .*"functionCall":.*\r\n\r\n$/);

  const functionResponse = { name: call.name, response: { output: { sky: 'cloudless' } } };
  const answered = { role: 'user', parts: [{ functionResponse }] };
  const contents = [question, content, answered];
  const after = JSON.parse((await post(GENERATE, { contents, tools })).text);
  t.match(after.candidates[0].content.parts, [{ text: /^(cloudless ?)+$/ }]);
});

t.test('a function that nobody declared is not called', async (t) => {
  const { post } = await start(t, unlimited);
  const { text } = await post(GENERATE, { contents: [question] });
  t.type(JSON.parse(text).candidates[0].content.parts[0].text, 'string');
});

t.test('the OpenAI surface calls functions in its own shape', async (t) => {
  const { post } = await start(t, unlimited);
  const tools = [{ type: 'function', function: { name: 'get_weather' } }];
  const asked = { role: 'user', content: prompt };
  const body = { model: 'gemini-2.5-pro', tools, messages: [asked] };
  const [choice] = JSON.parse((await post(CHAT, body)).text).choices;
  t.equal(choice.finish_reason, 'tool_calls');
  const [made] = choice.message.tool_calls;
  t.equal(made.function.name, 'get_weather');
  t.strictSame(JSON.parse(made.function.arguments), call.args);
  t.match((await post(CHAT, { ...body, stream: true })).text, /"delta":.*"tool_calls":\[/);
  const answered = { role: 'tool', tool_call_id: made.id, content: 'cloudless' };
  const messages = [asked, choice.message, answered];
  const after = JSON.parse((await post(CHAT, { ...body, messages })).text);
  t.match(after.choices[0].message.content, /^(cloudless ?)+$/);
});
