// What the page says, in the reader's language: French if the browser prefers it, else English.

const english = {
  about: (model, version, rows) =>
    `Model ${model}, version ${version}` + (rows === null ? "" : ` · ${rows} rows in the table`),
  key: "API key",
  keyWhy: "This server answers only with an API key. The page keeps it until you close or reload it, and nowhere else.",
  useKey: "Use this key",
  question: "Question",
  dimension: "Dimensions",
  search: "Search",
  noTable: "This server has no table to search, so compare two texts.",
  firstText: "First text",
  secondText: "Second text",
  compare: "Compare",
  cosines: "Cosine of the two texts",
  cosine: "Cosine",
  fullWidth: (dimensions) => `${dimensions} (full width)`,
  atDimensions: (dimensions) => `At ${dimensions} dimensions`,
  atFullWidth: (dimensions) => `At full width, ${dimensions}`,
  note: (dimensions, count) => `+n: n places higher than at ${dimensions}; new: not among the first ${count} there`,
  same: "=",
  outside: "new",
  moved: (places, dimensions) =>
    places === 0 ? `same place as at ${dimensions} dimensions`
      : `${Math.abs(places)} ${Math.abs(places) === 1 ? "place" : "places"} ${places > 0 ? "higher" : "lower"} than at ${dimensions} dimensions`,
  absent: (count, dimensions) => `not among the first ${count} at ${dimensions} dimensions`,
  score: (value) => `cosine ${value}`,
  chunk: (row) => `best part: ${row}`,
  wholeText: "Whole text",
  working: "Searching…",
  comparing: "Comparing…",
  found: (count, ms) => `${count} ${count === 1 ? "document" : "documents"} in ${ms} ms.`,
  nothing: "No document was found.",
  done: "Compared.",
  unreachable: "The server cannot be reached. Check that it runs, then try again.",
  wrongKey: "The server did not accept this key.",
  busy: "The server is busy. Try again in a moment.",
  slow: "The server took too long. Try again later.",
  tooLong: "The text is too long for this model. Shorten it.",
  failed: "The server failed on this request. Its log says why.",
  refused: (reason) => `The server refused: ${reason}`,
};

const french = {
  about: (model, version, rows) =>
    `Modèle ${model}, version ${version}` + (rows === null ? "" : ` · ${rows} lignes dans la table`),
  key: "Clé d’API",
  keyWhy: "Ce serveur ne répond qu’avec une clé d’API. La page la garde jusqu’à sa fermeture, et nulle part ailleurs.",
  useKey: "Utiliser cette clé",
  question: "Question",
  dimension: "Dimensions",
  search: "Chercher",
  noTable: "Ce serveur n’a pas de table où chercher : comparez deux textes.",
  firstText: "Premier texte",
  secondText: "Second texte",
  compare: "Comparer",
  cosines: "Cosinus des deux textes",
  cosine: "Cosinus",
  fullWidth: (dimensions) => `${dimensions} (toutes)`,
  atDimensions: (dimensions) => `Avec ${dimensions} dimensions`,
  atFullWidth: (dimensions) => `Avec toutes, soit ${dimensions}`,
  note: (dimensions, count) => `+n : n places plus haut qu’avec ${dimensions} ; nouv. : absent des ${count} premiers là-bas`,
  same: "=",
  outside: "nouv.",
  moved: (places, dimensions) =>
    places === 0 ? `même place qu’avec ${dimensions} dimensions`
      : `${Math.abs(places)} ${Math.abs(places) === 1 ? "place" : "places"} plus ${places > 0 ? "haut" : "bas"} qu’avec ${dimensions} dimensions`,
  absent: (count, dimensions) => `absent des ${count} premiers avec ${dimensions} dimensions`,
  score: (value) => `cosinus ${value}`,
  chunk: (row) => `meilleure partie : ${row}`,
  wholeText: "Texte entier",
  working: "Recherche…",
  comparing: "Comparaison…",
  found: (count, ms) => `${count} ${count === 1 ? "document" : "documents"} en ${ms} ms.`,
  nothing: "Aucun document trouvé.",
  done: "Comparé.",
  unreachable: "Le serveur est injoignable. Vérifiez qu’il tourne, puis réessayez.",
  wrongKey: "Le serveur n’a pas accepté cette clé.",
  busy: "Le serveur est occupé. Réessayez dans un instant.",
  slow: "Le serveur a mis trop de temps. Réessayez plus tard.",
  tooLong: "Le texte est trop long pour ce modèle. Raccourcissez-le.",
  failed: "Le serveur a échoué sur cette demande. Son journal dit pourquoi.",
  refused: (reason) => `Le serveur a refusé : ${reason}`,
};

export const strings = { en: english, fr: french };
export const language = navigator.language.toLowerCase().startsWith("fr") ? "fr" : "en";
export const say = strings[language];

const whole = new Intl.NumberFormat(language);
const precise = new Intl.NumberFormat(language, { minimumFractionDigits: 4, maximumFractionDigits: 4 });
export const count = (value) => whole.format(value);
export const cosine = (value) => precise.format(value);
