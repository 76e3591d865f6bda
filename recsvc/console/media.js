// What the screen is like, and what its user would rather not see.

/** A narrow one, as the styles have it: everything in one column. */
export const PHONE = matchMedia("(max-width: 900px)");

/** Nothing is to move. */
export const STILL = matchMedia("(prefers-reduced-motion: reduce)");
