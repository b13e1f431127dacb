import type { Lane } from './lane.ts';
import type { Ticket } from './ticket.ts';

/**
 * So many of the next in line have their tokens counted at the upstream, at once: as each answer
 * takes a while, fewer would make a burst of small calls wait for its own counting.
 */
const COUNT_AHEAD_MAX = 64;
/** And so many bytes of them, beyond the first: counting sends the bodies a second time. */
const COUNT_AHEAD_BYTES_MAX = 4_194_304;

/**
 * Has the input tokens of the next few in line counted exactly, where a token policy holds one of
 * them: a ceiling is generous, and what it takes too much is quota that nobody uses. Each call is
 * asked about once; when counting fails its ceiling stands. `counted` follows each success.
 */
export function countAhead(
  lane: Lane,
  asked: WeakSet<Ticket>,
  counted: (ticket: Ticket) => void,
): void {
  let looked = 0;
  let lookedBytes = 0;
  let tokensHold = false;
  for (const ticket of lane.inOrder()) {
    looked += 1;
    lookedBytes += ticket.heldBytes;
    if (looked > COUNT_AHEAD_MAX) return;
    if (looked > 1 && lookedBytes > COUNT_AHEAD_BYTES_MAX) return;
    tokensHold ||= ticket.blocks.some(
      ({ state }) => state !== null && state.unit !== 'requests' && state.unit !== 'usd',
    );
    const { countTokens } = ticket;
    if (!tokensHold || ticket.exact || countTokens === null || asked.has(ticket)) continue;
    asked.add(ticket);
    void count(ticket, countTokens, counted);
  }
}

async function count(
  ticket: Ticket,
  countTokens: () => Promise<number | null>,
  counted: (ticket: Ticket) => void,
): Promise<void> {
  const inputTokens = await countTokens();
  if (inputTokens === null) return;
  ticket.units = { ...ticket.units, inputTokens };
  ticket.ceiling = { ...ticket.ceiling, inputTokens };
  ticket.exact = true;
  counted(ticket);
}
