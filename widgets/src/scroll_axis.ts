// Where rows stand in a box whose scroll bar spans more of them than a browser can lay out. Pure functions.
//
// A place is counted in pixels as if every row were laid out. The element is no higher than browsers
// allow, so a pixel of the bar may stand for several: dragging goes by share, small steps go pixel by pixel.

/** Firefox lays out some 17.9 million pixels, Chromium 33.5 million. */
export const MOST_PX = 15_000_000;
/** So far from either end the bar goes pixel by pixel: both ends are reached as in any other box. */
const END_PX = 20_000;
/** A larger step was made with the bar, not with the wheel or a key. */
const STEP_VIEWS = 2;

export interface Axis {
  /** The pixels of all rows. */
  readonly length: number;
  /** The pixels that are in sight. */
  readonly view: number;
  /** The height of the element that is scrolled. */
  readonly height: number;
}

export interface Scroll {
  /** The element's `scrollTop`. */
  readonly top: number;
  /** The place that is at the top of what is seen. */
  readonly place: number;
}

export const AT_TOP: Scroll = { top: 0, place: 0 };

export function axisOf(length: number, view: number): Axis {
  return { length, view, height: Math.min(length, MOST_PX) };
}

/** The scroll that brings a place to the top, or as near as the ends allow. */
export function scrolledTo({ length, view, height }: Axis, wanted: number): Scroll {
  const last = Math.max(0, length - view);
  const lastTop = Math.max(0, height - view);
  const place = Math.min(Math.max(wanted, 0), last);
  return { top: mapped(place, last, lastTop), place };
}

/** The scroll after the element's `scrollTop` has become `top`; it may want another one near the ends. */
export function scrolledBy(axis: Axis, before: Scroll, top: number): Scroll {
  const { length, view, height } = axis;
  if (height === length) return { top, place: top };
  const last = length - view;
  const lastTop = height - view;
  const step = top - before.top;
  if (Math.abs(step) > STEP_VIEWS * view) return { top, place: mapped(top, lastTop, last) };
  const place = Math.min(Math.max(before.place + step, 0), last);
  // Where the bar has reached its end before the rows have, or the rows before the bar, it is set anew.
  const atEnd = top <= 0 || top >= lastTop || place === 0 || place === last;
  return atEnd ? scrolledTo(axis, place) : { top, place };
}

/** The point of `[0, to]` for one of `[0, from]`: the same near both ends, in proportion between them. */
function mapped(point: number, from: number, to: number): number {
  if (from === to || point <= END_PX) return point;
  if (point >= from - END_PX) return to - (from - point);
  return END_PX + ((point - END_PX) * (to - 2 * END_PX)) / (from - 2 * END_PX);
}
