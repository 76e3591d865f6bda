// What moves over the map: a user's interests, taste and profile, each from where it was to where it is.

const GLIDE_MS = 900, TRAIL_MAX = 14, MOVED_LEAST = 0.004, NEAR = 0.05;

const ease = (t) => 1 - (1 - t) ** 3;

/**
 * Have `before` (movers) become what `now` says: `[{id?, kind, x, y, share, members}]`. An interest is the one that
 * has most members in common; what is new grows, what is no more fades. `at`: milliseconds; `still`: nothing glides.
 */
export function moved(before, now, at, still) {
  const here = before.filter((one) => !one.gone), pairs = paired(here, now);
  const next = now.map((one, n) => {
    const was = pairs.get(n);
    if (!was) return { ...one, id: one.id ?? `${at}-${n}`, from: { x: one.x, y: one.y, share: still ? one.share : 0 }, since: at, trail: [] };
    const far = Math.hypot(was.x - one.x, was.y - one.y) > MOVED_LEAST;
    if (!far && was.share === one.share) return { ...was, ...one, id: was.id };
    const trail = far ? [...was.trail, { x: was.x, y: was.y }].slice(-TRAIL_MAX) : was.trail;
    return { ...one, id: was.id, from: still ? one : shown(was, at), since: at, trail };
  });
  const used = new Set(pairs.values());
  const gone = still ? [] : here.filter((one) => !used.has(one)).map((one) => ({ ...one, from: shown(one, at), share: 0, since: at, gone: true }));
  return [...next, ...gone];
}

/** The mover that each of `now` was, by its place in the list: those with most in common first. */
function paired(before, now) {
  const pairs = new Map(), used = new Set();
  const likes = now.flatMap((one, n) => before.map((was) => ({ n, was, like: alike(was, one) }))).filter(({ like }) => like > 0);
  for (const { n, was } of likes.sort((a, b) => b.like - a.like)) {
    if (pairs.has(n) || used.has(was)) continue;
    pairs.set(n, was);
    used.add(was);
  }
  return pairs;
}

function alike(was, one) {
  if (was.kind !== one.kind) return 0;
  if (one.kind !== "interest") return 1;
  const common = one.members.filter((member) => was.members.includes(member)).length;
  if (!common) return Math.hypot(was.x - one.x, was.y - one.y) < NEAR ? 0.01 : 0; // all it was made of has changed
  return common / (was.members.length + one.members.length - common);
}

/** Where a mover is at a time, and how large. */
export function shown(mover, at) {
  const t = ease(Math.min(Math.max((at - mover.since) / GLIDE_MS, 0), 1)), { from } = mover;
  return {
    x: from.x + (mover.x - from.x) * t,
    y: from.y + (mover.y - from.y) * t,
    share: from.share + (mover.share - from.share) * t,
  };
}

/** Whether something still glides. */
export const gliding = (movers, at) => movers.some((one) => at - one.since < GLIDE_MS);

/** Whether a mover has faded, and is drawn no more. */
export const faded = (mover, at) => Boolean(mover.gone) && at - mover.since >= GLIDE_MS;
