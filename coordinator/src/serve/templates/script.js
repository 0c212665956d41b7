// The few things that pages cannot do alone: follow a run, jump within a video, load the slow parts,
// send a file. Everything works without it except sending.
"use strict";

const fragment = (html) => new DOMParser().parseFromString(html, "text/html").querySelector(".fragment, .live");

for (const part of document.querySelectorAll("[data-events]:not([data-final])")) {
  const events = new EventSource(part.dataset.events);
  const show = (event) => {
    const live = fragment(event.data);
    if (live) part.replaceChildren(live);
  };
  events.addEventListener("state", show);
  events.addEventListener("end", (event) => {
    show(event);
    events.close();
  });
}

const player = document.getElementById("player");
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-seek]");
  if (!target || !player) return;
  player.currentTime = Number(target.dataset.seek) + 0.001;
  player.scrollIntoView({ block: "nearest", behavior: "smooth" });
  player.play().catch(() => {});
});
for (const mark of document.querySelectorAll(".play")) {
  player?.addEventListener("timeupdate", () => {
    const x = (1000 * player.currentTime) / (player.duration || 1);
    mark.removeAttribute("hidden");
    mark.setAttribute("x1", x);
    mark.setAttribute("x2", x);
  });
}

const load = async (part) => {
  try {
    const answer = await fetch(part.dataset.load);
    const loaded = answer.ok && fragment(await answer.text());
    if (loaded) part.replaceChildren(loaded);
  } catch {
    // The link stays.
  }
};
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    load(target);
  }
}, { rootMargin: "300px" });
for (const part of document.querySelectorAll("[data-load]")) seen.observe(part);

for (const drop of document.querySelectorAll("[data-upload]")) {
  const status = drop.querySelector("[role=status]");
  const send = (file) => {
    if (!file) return;
    if (file.size > Number(drop.dataset.limit) * 1048576) {
      status.textContent = `${file.name} is larger than ${drop.dataset.limit} MB.`;
      return;
    }
    const request = new XMLHttpRequest();
    request.open("POST", drop.dataset.upload);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    request.upload.onprogress = (event) => {
      status.textContent = `Sending ${file.name}: ${Math.round((100 * event.loaded) / event.total)} %`;
    };
    request.upload.onload = () => {
      status.textContent = `Looking at ${file.name}…`;
    };
    request.onload = () => {
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const found = page.querySelector(".fragment");
      status.textContent = found ? "" : page.querySelector(".alone h1 + p")?.textContent ?? "It failed.";
      if (found) drop.parentElement.querySelector(".result").replaceChildren(found);
    };
    request.onerror = () => {
      status.textContent = "The server does not answer.";
    };
    request.send(file);
  };
  drop.querySelector("input").addEventListener("change", (event) => send(event.target.files[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    send(event.dataTransfer.files[0]);
  });
}
