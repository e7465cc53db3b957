// The control on the page "How to read a verdict": the rules are those of labkit/measure/decisions.py.
// Without scripts the picture stays as it is in the page.

// Student's distribution function with a whole number of degrees of freedom (Abramowitz and Stegun 1964, 26.7.3-4).
function tBelow(t, freedom) {
  const angle = Math.atan(t / Math.sqrt(freedom)), cosine = Math.cos(angle);
  const odd = freedom % 2;
  let term = odd ? cosine : 1, sum = freedom > 1 ? term : 0;
  for (let k = odd ? 3 : 2; k < freedom; k += 2) sum += term *= (cosine ** 2 * (k - 1)) / k;
  const inside = odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  return (1 + inside) / 2;
}

// The value below which a share of the distribution lies, for shares above a half, by bisection.
function tQuantile(share, freedom) {
  let low = 0, high = 1e6;
  for (let step = 0; step < 200; step++) {
    const middle = (low + high) / 2;
    if (tBelow(middle, freedom) < share) low = middle;
    else high = middle;
  }
  return low;
}

// One-sided p value that the mean is above a bound; `error` is the standard error.
function above(mean, error, freedom, bound) {
  if (error === 0) return mean > bound ? 0 : 1;
  return tBelow((bound - mean) / error, freedom);
}

// What runs say whose effects have this mean and standard deviation; the threshold is 0, a margin of 0 is none.
function judged(effect, spread, seeds, margin) {
  const freedom = seeds - 1, error = spread / Math.sqrt(seeds), half = tQuantile(0.975, freedom) * error;
  const holds = 2 * above(effect, error, freedom, 0), fails = 2 * above(-effect, error, freedom, 0);
  const nothing = 2 * Math.max(above(effect, error, freedom, -margin), above(-effect, error, freedom, -margin));
  let verdict = "undecided";
  if (holds <= 0.05) verdict = "supported";
  else if (fails <= 0.05) verdict = "contradicted";
  else if (margin > 0 && nothing <= 0.05) verdict = "no difference";
  return { verdict, low: effect - half, high: effect + half, p: Math.min(1, holds, fails) };
}

addEventListener("DOMContentLoaded", () => {
  const root = document.getElementById("lk-verdict");
  const signs = { supported: "✓", contradicted: "✗", "no difference": "=", undecided: "?" };
  const knobs = {
    effect: ["Mean effect", -3, 3, 0.1, 1, " points"],
    spread: ["Standard deviation over seeds", 0, 4, 0.1, 0.8, " points"],
    seeds: ["Seeds", 2, 30, 1, 8, ""],
    margin: ["Margin (0: none)", 0, 3, 0.1, 0.5, " points"],
  };
  const at = (points) => +(320 + 60 * Math.max(-9, Math.min(9, points))).toFixed(1); // pixels of the picture
  const part = (name) => root.querySelector(`.${name}`);
  const set = (name, values) => Object.entries(values).forEach(([key, value]) => part(name).setAttribute(key, value));
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  const inputs = {};

  function draw() {
    const [effect, spread, seeds, margin] = Object.values(inputs).map((input) => input.valueAsNumber);
    const found = judged(effect, spread, seeds, margin);
    set("margin", { x: at(-margin), width: at(margin) - at(-margin) });
    set("interval", { x1: at(found.low), x2: at(found.high) });
    set("mean", { cx: at(effect) });
    // Effects with this mean and standard deviation, evenly spread.
    const unit = Math.sqrt((seeds * (seeds + 1)) / 12);
    part("seeds").innerHTML = Array.from({ length: seeds }, (_, k) => effect + (spread * (k - (seeds - 1) / 2)) / unit)
      .map((value) => `<circle cx="${at(value)}" cy="34" r="4"/>`).join("");
    const p = found.p < 0.001 ? "p below 0.001" : `p = ${found.p.toFixed(3)}`;
    const told = `${signed(effect)} [${signed(found.low)}, ${signed(found.high)}] points, ${p}`;
    const word = `<b class="lk-verdict lk-${found.verdict.replace(" ", "-")}">`;
    part("lk-outcome").innerHTML = `${word}<span aria-hidden="true">${signs[found.verdict]}</span> ${found.verdict}</b> ${told}`;
    part("picture").setAttribute("aria-label", `A mean effect with its interval over seeds: ${told}, ${found.verdict}`);
    for (const [name, input] of Object.entries(inputs))
      input.nextElementSibling.textContent = input.value.replace("-", "−") + knobs[name][5];
  }

  const panel = document.createElement("div");
  panel.className = "lk-knobs";
  for (const [name, [label, min, max, step, value]] of Object.entries(knobs)) {
    const row = document.createElement("label");
    row.innerHTML = `<span>${label}</span><input type="range" name="${name}" min="${min}" max="${max}" step="${step}" value="${value}"><output></output>`;
    panel.append(row);
    inputs[name] = row.querySelector("input");
    inputs[name].addEventListener("input", draw);
  }
  root.append(panel);
  draw();
});
