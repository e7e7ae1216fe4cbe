// The color scale of all heat maps: one for a picture, in cosines.

// Every sixteenth of matplotlib's "inferno", from low to high.
const STOPS = [
  [0, 0, 4],
  [11, 7, 36],
  [33, 12, 74],
  [61, 9, 101],
  [87, 16, 110],
  [113, 25, 110],
  [138, 34, 106],
  [163, 44, 97],
  [188, 55, 84],
  [210, 70, 68],
  [228, 90, 49],
  [241, 115, 29],
  [249, 142, 9],
  [252, 172, 17],
  [249, 203, 53],
  [242, 234, 105],
  [252, 255, 164],
];

/** Return red, green and blue of a score on a scale from low to high; scores beyond it get its ends. */
export function color(score, [low, high]) {
  const position = high > low ? (score - low) / (high - low) : 0;
  const exact = Math.min(Math.max(position, 0), 1) * (STOPS.length - 1);
  const before = Math.min(Math.floor(exact), STOPS.length - 2);
  return STOPS[before].map((channel, at) => Math.round(channel + (exact - before) * (STOPS[before + 1][at] - channel)));
}

/** Return a color for CSS. */
export function cssColor(score, scale) {
  return `rgb(${color(score, scale).join(" ")})`;
}

/** Return the whole scale as a background for CSS. */
export function gradient() {
  return `linear-gradient(90deg, ${STOPS.map((stop) => `rgb(${stop.join(" ")})`).join(", ")})`;
}

/** Return lowest and highest score of a map. */
export function extent(scores) {
  const all = scores.flat();
  return [Math.min(...all), Math.max(...all)];
}
