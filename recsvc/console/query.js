// Parameters as addresses have them.

/** Write parameters; lists are repeated, what is null or empty is left out. */
export function query(params) {
  const pairs = Object.entries(params)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
    .filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

/** Read them: texts, and lists of them where one is repeated. */
export function read(written) {
  const params = Object.create(null); // which has no name that was not written
  for (const [name, value] of new URLSearchParams(written)) params[name] = name in params ? [params[name], value].flat() : value;
  return params;
}
