// Ids as the API takes them, and where its paths do not.

/** What a field for the id of a user or an item is given. */
export const ID_FIELD = {
  type: "text", required: true, pattern: "[A-Za-z0-9_.:@\\-]{1,128}", maxlength: 128,
  title: "1 to 128 letters, digits or _ . : @ -", spellcheck: false, autocomplete: "off",
};

/** Ids of items whose path is that of something else, or which an address cannot end in. */
export const PATHLESS = new Set(["features", ".", ".."]);
