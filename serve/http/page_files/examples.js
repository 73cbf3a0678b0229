// Three questions and three comparisons to begin with, in the reader's language.

import { language } from "./strings.js";

const english = {
  questions: [
    "treatment after a heart attack",
    "my gums bleed when I brush my teeth",
    "is it safe to take ibuprofen while pregnant?",
  ],
  comparisons: [
    {
      label: "patients’ words and doctors’ words",
      values: {
        rows: "heart attack\nhigh blood pressure\nstroke\nshortness of breath",
        columns: "myocardial infarction\nhypertension\ncerebrovascular accident\ndyspnoea",
      },
    },
    {
      label: "what a single word changes",
      values: { rows: "The patient has a fever.\nThe patient has no fever.\nTemperature 39.2 °C\nTemperature 36.8 °C", columns: "" },
    },
    {
      label: "English and French",
      values: {
        rows: "chest pain\nsore throat\nkidney stone",
        columns: "douleur thoracique\nmal de gorge\ncalcul rénal",
      },
    },
  ],
};

const french = {
  questions: [
    "traitement après un infarctus",
    "mes gencives saignent quand je me brosse les dents",
    "peut-on prendre de l’ibuprofène pendant la grossesse ?",
  ],
  comparisons: [
    {
      label: "mots du patient et mots du médecin",
      values: {
        rows: "crise cardiaque\ntension trop haute\nattaque cérébrale\nessoufflement",
        columns: "infarctus du myocarde\nhypertension artérielle\naccident vasculaire cérébral\ndyspnée",
      },
    },
    {
      label: "ce qu’un seul mot change",
      values: { rows: "Le patient a de la fièvre.\nLe patient n’a pas de fièvre.\nTempérature 39,2 °C\nTempérature 36,8 °C", columns: "" },
    },
    {
      label: "français et anglais",
      values: {
        rows: "douleur thoracique\nmal de gorge\ncalcul rénal",
        columns: "chest pain\nsore throat\nkidney stone",
      },
    },
  ],
};

export const { questions, comparisons } = { en: english, fr: french }[language];
