"""Sentences are cut at their ends in any script, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.text.sentences import sentences


# "|" is where a sentence ends.
@pytest.mark.parametrize(
    "marked",
    [
        # A capital of any alphabet, or none.
        "The bus was late.| Über the hill it broke down.| Âme who?",
        "Он живёт рядом.| Она врач.| Дети дома.",
        "Είναι εδώ.| Πού είναι;| Δεν ξέρω!",
        "lost my key.| found it later.| all good.",
        "where is it?| no idea!| ok then.",
        "¿Dónde está?| Élla no sabe.| ¡Qué pena!",
        # Scripts of other stops, with and without spaces.
        "今日は雨だ。|傘を忘れた。|本当？|うん！",
        "今天下雨。|我忘了伞。",
        "यह घर है।| वह चला गया॥| क्या?",
        "هل رأيته؟| نعم.| ذهب أمس۔",
        "הוא כאן.| היא שם!",
        "비가 왔다.| 우산을 잃었다.",
        "Ես տուն եմ։| Նա գնաց։",
        "ភ្លៀង។|ខ្ញុំភ្លេច។",
        # Titles, initials, abbreviations, numbers.
        "Mr. Brown called.| Mrs. Brown did not.",
        "By P. B. Shelley.| So it said.",
        "So did I.| We left.",
        "In the U.S. Army he was happy.| He left the U.S.| Then he wept.",
        "We met at 5 p.m. in the hall.| We left at 7 p.m.| It rained.",
        "i left at 5 p.m.| she stayed.| at 7 a.m. he rang.| on friday at 9 p.m. they closed.",
        "we bought milk, bread etc.| they bought none.| he works for acme inc.| it is big.",
        "the shop shuts at 5 p.m. on fridays.| ask john smith jr. about it.",
        "e.g. tea and i.e. coffee.| Fine.",
        "Bring tea etc. and milk.| Fine.",
        "It cost £2.50 in No. 10.| Dear.",
        "pi is 3.14 or so.| see example.com.| ok",
        "1. Buy milk.| 2. Call Ann.",
        "Am 3. Mai kam er z. B. mit Dr. Weiß.| Er ging bald.",
        "А. С. Пушкин и т. д. и т. п.| Она ушла.",
        "M. Dupont est là.| Mme. Dupont aussi.",
        "It was Ann's.| Bob left.| Das war’s.| Ende.",
        "那是Mr. Wang的书。|他走了。",
        "Hello!|How are you?| Is it a yahoo!group?",
        # A number before a small letter: the last of its sentence, or an ordinal.
        "my son is 5.| he is tall.",
        "i am 30.| feeling old.",
        "we sat in row 9.| the film was long.",
        "call me at 4.| bring milk.",
        "we won 3-2.| they cried.| it is 12:30.| we eat.",
        "mein sohn ist 5.| er ist groß.| je suis 3e.| il en a 2.| tu en as 4.",
        "am 5. und 6. juni sind wir weg.| im 2. stock wohnt er.",
        "den 3. dag regnede det.| jeden 2. tag schwimmt sie.",
        "buy: 1. milk 2. eggs 3. bread",
        "it takes approx. five minutes, e.g. this one.| ask mr. smith.| use v1.2.| it is new.",
        # Ellipses and quotations.
        "He went on... and on.| Then stopped",
        "well… maybe.| Who knows",
        '"Who is it?"| She laughed.',
        '"Who is it?" she laughed.',
        'He said "stop." and left.| "Go."| She went.',
        "「行く！」と言った。|彼は笑った。",
        "Really?!| Yes!!!| Good.",
        "We met. . . .| Then we parted.",
        # Lines.
        "A line|\nanother line|\r\nand one",
    ],
)
def test_sentences_end_where_they_end(marked: str) -> None:
    assert sentences(marked.replace("|", "")) == [part.strip() for part in marked.split("|")]


@given(st.text(alphabet=st.sampled_from("aBé .!?\n\"'1£…M r。！」न।;(")))
def test_sentences_hold_every_word_in_order_and_nothing_else(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    at = 0
    for sentence in found:
        at = text.index(sentence, at) + len(sentence)
