// The sound of the clip as a waveform below the picture, with the place that is being played.

const canvas = document.getElementById("waveform");
const RATE = 8000; // Hz; enough for an outline
const KEPT = 4; // clips whose outline is remembered
const QUIETEST = 0.05; // of full scale; a quieter clip is not drawn larger than this would be

const outlines = new Map(); // address → promise of {duration, samples}
let shown = null; // the outline that is drawn
let video = null;

/** Decode the sound at an address; remembered, so that the next clip's is there before it is needed. */
export function prepare(address) {
  if (outlines.has(address)) return outlines.get(address);
  const found = decode(address);
  outlines.set(address, found);
  found.catch(() => outlines.delete(address));
  for (const old of [...outlines.keys()].slice(0, -KEPT)) outlines.delete(old);
  return found;
}

/** Show the waveform of what a video element plays. Without one (no network, no decoder) there is none. */
export async function follow(player, address) {
  video = player;
  shown = null;
  canvas.hidden = true;
  try {
    const outline = await prepare(address);
    if (video !== player || !player.src.endsWith(address)) return;
    shown = outline;
    canvas.hidden = false;
    draw();
  } catch {
    // the clip itself says what is wrong with it
  }
}

async function decode(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await answer.arrayBuffer());
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, number) => buffer.getChannelData(number));
  const samples = new Float32Array(buffer.length);
  for (const channel of channels) {
    for (let index = 0; index < samples.length; index += 1) samples[index] = Math.max(samples[index], Math.abs(channel[index]));
  }
  return { duration: buffer.duration, samples };
}

/** The greatest amplitude in each of `columns` equal parts, 0 to 1. */
function peaks({ samples }, columns) {
  return Array.from({ length: columns }, (_, column) => {
    const begin = Math.floor((column * samples.length) / columns);
    const end = Math.max(begin + 1, Math.floor(((column + 1) * samples.length) / columns));
    return samples.subarray(begin, end).reduce((most, value) => Math.max(most, value), 0);
  });
}

let drawn = { outline: null, width: 0, heights: [] };

function draw() {
  if (!shown || canvas.hidden) return;
  const scale = window.devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (width === 0) return;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  if (drawn.outline !== shown || drawn.width !== width) {
    const found = peaks(shown, width);
    const loudest = found.reduce((most, value) => Math.max(most, value), QUIETEST);
    drawn = { outline: shown, width, heights: found.map((value) => value / loudest) };
  }
  const style = getComputedStyle(canvas);
  const paint = canvas.getContext("2d");
  const played = Math.min(1, video.currentTime / (video.duration || shown.duration));
  paint.clearRect(0, 0, width, height);
  drawn.heights.forEach((value, column) => {
    paint.fillStyle = style.getPropertyValue(column < played * width ? "--accent" : "--muted");
    const tall = Math.max(scale, value * height);
    paint.fillRect(column, (height - tall) / 2, 1, tall);
  });
  paint.fillStyle = style.getPropertyValue("--ink");
  paint.fillRect(Math.min(width - 2 * scale, played * width), 0, 2 * scale, height);
}

function animate() {
  if (video && !video.paused) draw();
  requestAnimationFrame(animate);
}

requestAnimationFrame(animate);
new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
canvas.addEventListener("click", (event) => {
  if (!video?.duration) return;
  video.currentTime = (event.offsetX / canvas.clientWidth) * video.duration;
  draw();
});
for (const player of document.querySelectorAll("video")) player.addEventListener("seeked", draw);
