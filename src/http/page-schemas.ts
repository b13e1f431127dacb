import { Type } from 'typebox';

import type { Outcome } from '../exchange/call.ts';
import { instant, milliseconds, orNull, textOrNull, viewSchema } from './openapi-shapes.ts';
import type { ExchangeView, HistoryView, SamplePoint } from './views.ts';

/** How an exchange may end. */
export const OUTCOMES = [
  'ok',
  'upstream_error',
  'upstream_rejected',
  'refused',
  'cancelled',
  'failed',
] as const satisfies readonly Outcome[];

const count = () => Type.Integer({ minimum: 0 });
const usd = () => Type.Number({ minimum: 0, description: 'Dollars.' });
const numberOrNull = (description: string) => orNull<number>('number', { minimum: 0, description });

const Exchange = viewSchema<ExchangeView>()(
  Type.Object(
    {
      at: instant({ description: 'When it ended.' }),
      id: Type.String({ description: 'The request id.' }),
      project: Type.String(),
      model: Type.String({ description: 'As it is counted.' }),
      requested_model: Type.String({ description: 'As the client wrote it.' }),
      method: Type.String({ examples: ['generateContent', 'streamGenerateContent'] }),
      agent: Type.String(),
      outcome: Type.Enum([...OUTCOMES]),
      reason: textOrNull({ description: 'Of a refusal or a failure.' }),
      message: textOrNull({ description: 'What the client was told with it.' }),
      status: Type.Integer({ minimum: 0, description: '0 when none was sent.' }),
      queued_ms: milliseconds(),
      wait_reason: textOrNull({ description: 'What it waited for, in words.' }),
      first_byte_ms: numberOrNull("From dispatch to the answer's first byte."),
      upstream_ms: milliseconds(),
      duration_ms: milliseconds(),
      overhead_ms: milliseconds({ description: 'Outside queue and upstream.' }),
      estimated_tokens: count(),
      input_tokens: numberOrNull('Null where the answer told nothing.'),
      output_tokens: numberOrNull('Null where the answer told nothing.'),
      usd: usd(),
      resends: Type.Integer({ minimum: 0, description: '429s that it met and waited out.' }),
    },
    { title: 'Exchange' },
  ),
);

export const ExchangeListSchema = Type.Object({ exchanges: Type.Array(Exchange) });

const Sample = viewSchema<SamplePoint>()(
  Type.Object(
    {
      at: instant({ description: 'When the step began.' }),
      requests: count(),
      input_tokens: count(),
      output_tokens: count(),
      waited: Type.Integer({ minimum: 0, description: 'Of the requests, those that waited.' }),
      wait_ms_max: milliseconds(),
      wait_ms_mean: milliseconds({ description: 'Of those that waited.' }),
      refusals: Type.Integer({ minimum: 0, description: 'Of the requests, by headgate.' }),
      upstream_rejections: Type.Integer({ minimum: 0, description: '429s of the upstream.' }),
      usd: usd(),
    },
    { title: 'Sample' },
  ),
);

export const HistorySchema = viewSchema<HistoryView>()(
  Type.Object(
    {
      span: Type.Enum(['hour', 'day']),
      step_ms: milliseconds(),
      points: Type.Array(Sample),
    },
    { title: 'History' },
  ),
);
