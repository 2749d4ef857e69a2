// htm bound to preact: markup in tagged templates. Values become text nodes or properties, never markup.
import { h, render } from '../vendor/preact.module.js';
import htm from '../vendor/htm.module.js';

export { useCallback, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from '../vendor/hooks.module.js';
export { h, render };
export const html = htm.bind(h);
