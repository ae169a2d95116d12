import { describe, expect, test } from "vitest";
import { dark, light, stroke } from "../src/model/colours";

type RGB = [number, number, number];

function linear(hex: string): RGB {
  return [1, 3, 5].map((i) => {
    const c = parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as RGB;
}

// WCAG 2.2, relative luminance and contrast ratio.
function contrast(a: string, b: string): number {
  const y = (hex: string) => {
    const [r, g, bl] = linear(hex);
    return 0.2126 * r + 0.7152 * g + 0.0722 * bl;
  };
  const [hi, lo] = [y(a), y(b)].sort((p, q) => q - p) as [number, number];
  return (hi + 0.05) / (lo + 0.05);
}

// Machado, Oliveira, Fernandes 2009: severity 1.0, on linear RGB.
const sight: Record<string, number[][]> = {
  full: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
};

// OKLab (Ottosson 2020): distances are near to what the eye tells apart.
function oklab([r, g, b]: RGB): RGB {
  const l = Math.cbrt(Math.max(0, 0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b));
  const m = Math.cbrt(Math.max(0, 0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b));
  const s = Math.cbrt(Math.max(0, 0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b));
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function seen(hex: string, matrix: number[][]): RGB {
  const rgb = linear(hex);
  return oklab(matrix.map((row) => row[0]! * rgb[0] + row[1]! * rgb[1] + row[2]! * rgb[2]) as RGB);
}

describe.each([
  ["light", light, "#ffffff"],
  ["dark", dark, "#161b22"],
] as const)("the %s palette", (_, palette, ground) => {
  test("stands out from its ground", () => {
    for (const colour of palette) expect.soft(contrast(colour, ground), colour).toBeGreaterThanOrEqual(3);
  });
  test.each(Object.entries(sight))("has colours that %s sight tells apart", (_name, matrix) => {
    for (const [i, a] of palette.entries()) {
      for (const b of palette.slice(i + 1)) {
        const [p, q] = [seen(a, matrix), seen(b, matrix)];
        expect.soft(Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]), `${a} and ${b}`).toBeGreaterThan(0.07);
      }
    }
  });
});

test("lines beyond the palette are dashed", () => {
  expect(stroke(0, false)).toEqual({ colour: light[0], dash: [] });
  const again = stroke(light.length, false);
  expect(again.colour).toBe(light[0]);
  expect(again.dash).not.toEqual([]);
});
