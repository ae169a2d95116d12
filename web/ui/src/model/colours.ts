// Colours of lines: Okabe and Ito's hues, which the colour-blind tell apart,
// made darker for light paper and lighter for dark. Past the eighth line the
// colours come again, dashed: no line is told by its colour alone.

/** Each at a contrast of 3:1 or more to its ground, and apart from the others for protan and deutan sight: test/colours.test.ts measures it. */
export const light = ["#0064bc", "#ce6f39", "#007456", "#af5586", "#846500", "#233939", "#2791d8", "#723d15"];
export const dark = ["#47a5ff", "#ea892a", "#2bbb84", "#e8aad0", "#e6de5f", "#d5ebf1", "#3a75db", "#b5694a"];

const dashes: number[][] = [[], [6, 3], [2, 3], [10, 4, 2, 4]];

export interface Stroke {
  colour: string;
  dash: number[];
}

/** The stroke of the nth line (0 first). */
export function stroke(n: number, onDark: boolean): Stroke {
  const palette = onDark ? dark : light;
  return { colour: palette[n % palette.length]!, dash: dashes[Math.floor(n / palette.length) % dashes.length]! };
}
