// What every part of the console is written with: markup as tagged templates, and hooks.

import htm from "htm";
import { Fragment, h, render } from "preact";

export { Fragment, render };
export { useEffect, useErrorBoundary, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export const html = htm.bind(h);
