/** A part of the screen that can be shown with fewer of its rows. */
export interface WatchSection {
  readonly total: number;
  /** Rows that it has before others get more than their own; 0 takes what all others leave. */
  readonly least: number;
  /** Its lines with so many rows, titles and what is left out included. None without rows. */
  linesOf(count: number): readonly string[];
}

/**
 * Rows of each section under `room` lines: first its least, then one more for each in turn. `gap` empty
 * lines stand before each section that has any.
 */
export function fittingCounts(
  sections: readonly WatchSection[],
  room: number,
  gap: number,
): number[] {
  const counts = sections.map(() => 0);
  const height = (): number =>
    sections.reduce((sum, section, at) => {
      const count = counts[at] ?? 0;
      return count === 0 ? sum : sum + gap + section.linesOf(count).length;
    }, 0);
  const grow = (most: (section: WatchSection) => number): void => {
    for (let grows = true; grows;) {
      grows = false;
      sections.forEach((section, at) => {
        const before = counts[at] ?? 0;
        if (before >= Math.min(section.total, most(section))) return;
        counts[at] = before + 1;
        if (height() > room) counts[at] = before;
        else grows = true;
      });
    }
  };
  grow(({ least }) => least);
  grow(({ least, total }) => (least === 0 ? 0 : total));
  grow(({ total }) => total);
  return counts;
}
