// Shows the buttons that copy a letter: all else on the page works without a script.
"use strict";

function copyBySelection(source) {
  const area = document.createElement("textarea");
  area.value = source.textContent;
  area.setAttribute("readonly", "");
  area.className = "offscreen";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    return copyBySelection(source); // browsers inside messengers have no clipboard
  }
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copies);
    const isCopied = await copy(source);
    const said = document.getElementById("said");
    said.textContent = "";
    if (isCopied) {
      said.textContent = button.dataset.said;
      button.classList.add("copied");
    } else {
      source.closest("details").open = true;
      window.getSelection().selectAllChildren(source);
    }
    button.focus();
  });
}
