// Finds and makes parts of the page. Texts go in as text, never as HTML.

export const part = (id) => document.getElementById(id);

export function make(name, text, attributes = {}) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// Choices are [value, label]; `chosen` is the value to begin with, the first unless given.
export function offerChoices(select, choices, chosen) {
  const options = choices.map(([value, label]) => make("option", label, { value }));
  const first = options.find((option) => option.value === `${chosen}`);
  first?.setAttribute("selected", "");
  select.replaceChildren(...options);
}

// Fields that are of no use here are neither shown nor sent.
export function offerField(field, isOffered) {
  field.disabled = !isOffered;
  field.labels[0].hidden = !isOffered;
}

const namedFields = (form) => [...form.elements].filter((field) => field.name);

// What was chosen and typed in a form, by name, without what is empty.
export function readForm(form) {
  const filled = namedFields(form).filter((field) => !field.disabled && field.value.trim());
  return Object.fromEntries(filled.map((field) => [field.name, field.value]));
}

// Puts values into a form, and its own where there are none. Returns the names of those that it does not offer.
export function fillForm(form, values) {
  form.reset();
  const fields = namedFields(form);
  for (const field of fields) {
    if (field.name in values) field.value = values[field.name];
    field.dispatchEvent(new Event("change"));
  }
  return Object.keys(values).filter((name) => {
    const field = fields.find((each) => each.name === name);
    return field?.value !== values[name];
  });
}

// Whether the text could be copied.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // a page over plain HTTP has no clipboard, but from this machine
    const box = make("textarea", text, { class: "spoken" });
    document.body.append(box);
    box.select();
    const isCopied = document.execCommand("copy");
    box.remove();
    return isCopied;
  }
}
