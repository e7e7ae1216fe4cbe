// The color scale of all heat maps: one for a picture, in cosines.

// Every eighth of matplotlib's "inferno", from low to high.
const STOPS = [
  [0, 0, 4],
  [31, 12, 72],
  [85, 15, 109],
  [136, 34, 106],
  [186, 54, 85],
  [227, 89, 51],
  [249, 140, 10],
  [249, 201, 50],
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
