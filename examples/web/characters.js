// From an image to the network's bytes, and from logits to probabilities, as docs/preprocessing.md
// and docs/convert.md of EdgeGlyph specify them. All numbers of the first half are integers.

/** Gray pixels of a file, as the image holds them: no color profile, no premultiplied alpha. */
export async function readGray(blob) {
  const bitmap = await createImageBitmap(blob, {
    colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'none',
  }).catch(() => createImageBitmap(blob));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const {width, height} = bitmap;
  return grayOf(context.getImageData(0, 0, width, height).data, width, height);
}

export function grayOf(rgba, width, height) {
  const pixels = new Uint8Array(width * height);
  for (let i = 0; i < pixels.length; ++i) {
    const alpha = rgba[4 * i + 3];
    const over = k => Math.floor((rgba[4 * i + k] * alpha + 255 * (255 - alpha) + 127) / 255);
    pixels[i] = (4899 * over(0) + 9617 * over(1) + 1868 * over(2) + 8192) >> 14;
  }
  return {width, height, pixels};
}

const overlap = (a, m, b, n) => Math.min(a + m, b + n) - Math.max(a, b);

/** Int8Array of 1,024: exact area resize to 32×32, then contrast. Sums stay below 2^53. */
export function preprocess({width: w, height: h, pixels}) {
  const small = new Uint8Array(1024), counts = new Array(256).fill(0);
  for (let i = 0; i < 32; ++i) {
    for (let j = 0; j < 32; ++j) {
      let sum = 0;
      for (let r = Math.floor(i * h / 32); r * 32 < (i + 1) * h; ++r) {
        let row = 0;
        for (let c = Math.floor(j * w / 32); c * 32 < (j + 1) * w; ++c) {
          row += overlap(j * w, w, c * 32, 32) * pixels[r * w + c];
        }
        sum += overlap(i * h, h, r * 32, 32) * row;
      }
      const mean = Math.floor((2 * sum + h * w) / (2 * h * w));
      small[32 * i + j] = mean;
      ++counts[mean];
    }
  }
  let low = -1, high = -1, seen = 0;
  for (let v = 0; v < 256; ++v) {
    seen += counts[v];
    if (low < 0 && seen * 50 >= 1024) low = v;
    if (high < 0 && seen * 50 >= 1024 * 49) high = v;
  }
  const span = high - low, input = new Int8Array(1024);
  if (span < 8) return input;
  for (let i = 0; i < 1024; ++i) {
    const u = Math.floor(((small[i] - low) * 255 + Math.floor(span / 2)) / span);
    input[i] = Math.min(255, Math.max(0, u)) - 128;
  }
  return input;
}

/** Label, its probability and p_real; `about` is convert.json. */
export function answer(about, output) {
  const z = Array.from(output, q =>
    (Number(q) - about.output.zero_point) * about.output.scale / about.temperature);
  const best = z.indexOf(Math.max(...z));
  const sum = z.reduce((total, one) => total + Math.exp(one - z[best]), 0);
  const logSum = z[best] + Math.log(sum);
  return {label: about.alphabet[best], confidence: 1 / sum, p_real: 1 / (1 + Math.exp(-logSum))};
}
