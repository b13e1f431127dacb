import { daemonNowMs } from './daemon.js';
import { useEffect, useState } from './view.js';

const TICK_MS = 1_000;

/** The daemon's present time, anew each second. */
export function useNow() {
  const [nowMs, setNowMs] = useState(daemonNowMs);
  useEffect(() => {
    const timer = window.setInterval(() => setNowMs(daemonNowMs()), TICK_MS);
    return () => window.clearInterval(timer);
  }, []);
  // A status that has just come may tell of something later than the last tick.
  return Math.max(nowMs, daemonNowMs() - TICK_MS);
}
