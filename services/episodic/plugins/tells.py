"""Whether a text tells something that a question asks for, or only asks itself, or only names the topic.

"Noted: serial number of the boiler." has every word of "What is the serial number of the boiler?" and no answer. So a
text that says nothing beyond the question's own words and words about talk does not tell. Where the question may be
answered by its own words ("Is the heater fixed?"), any statement tells; where it is open, one that states what it asks
about does ("I sold the piano.", to "Why did Ann sell the piano?"; ``states``). Key words ("boiler serial number") may
be asked to find a statement again. Both tell, but less than a text that says more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from services.common.text import lexical
from services.episodic.plugins.base import Context, Record
from services.episodic.plugins.states import States
from services.episodic.plugins.turns import speaker

_ASKS = ("?", "？", "؟", "՞", "\u037e")  # the last is the Greek question mark
_WORD = re.compile(r"\w+")
_JOINED = re.compile(r"[^\w\s]")
_AROUND = ".,:;!?…¡¿()\"'«»„“”"
_OPEN = frozenset(
    """
    who whom whose what which when where why how
    wer wen wem wessen was wann wo woher wohin warum wie welche welcher welches welchen welchem wieviel
    qui que quoi quel quelle quels quelles quand où comment combien pourquoi
    quién quiénes qué cuál cuáles cuándo dónde cómo cuánto cuánta cuántos cuántas
    quem qual quais quando onde como quanto quantos chi che cosa quale quali dove come quanti
    wie wat waar wanneer hoe welk welke hoeveel vem vad var när hur vilken vilket
    """.split()
)


def _terms(words: str) -> frozenset[str]:
    """Terms of each word by itself: beside others, function words of their languages would be left out."""
    return frozenset(term for word in words.split() for term in lexical.terms(word))


# Of talk itself, and of where something is to be read.
_OF_TALK = _terms(
    """
    note noted noting reminder remind remember subject regarding concerning topic question ask asked asking tell say
    said mention thanks thank cheers ok okay yes yeah yep sure got gotcha roger received understood acknowledged wrote
    write down written see seen above below here following attached again name called give gave sent send look find
    found check know need want forgot added saved kept right good great list listed info information details please re
    oh ah aha hm hmm hi hello hey lot much
    ja danke dankeschön notiert notiere gemerkt merke verstanden okay betreff bezüglich erinnerung aufgeschrieben
    oui merci noté noter note compris accord reçu entendu sujet concernant rappel
    sí gracias vale anotado anoto apuntado apunto entendido recibido acuerdo asunto recordatorio
    sim obrigado obrigada anotado recebido combinado assunto lembrete
    sì grazie annotato segnato capito ricevuto accordo oggetto promemoria
    dank bedankt dankjewel begrepen genoteerd oké onderwerp herinnering
    tack takk tak noterat notert noteret förstått forstått forstået uppfattat okej påminnelse kiitos selvä
    dzięki dziękuję zanotowane zanotowałem zanotowałam zapisane rozumiem díky děkuji rozumím mulțumesc
    teşekkürler teşekkür ederim tamam anladım köszönöm terima kasih
    да спасибо понятно понял поняла ок окей записал записала записано принято так дякую зрозуміло
    ευχαριστώ εντάξει κατάλαβα شكرا حسنا تمام فهمت תודה הבנתי בסדר धन्यवाद ठीक समझ
    好的 谢谢 謝謝 知道了 明白 明白了 收到 了解 了解です 承知しました ありがとう ありがとうございます 分かりました
    わかりました 네 감사합니다 고마워 고마워요 알겠습니다 알겠어요 알았어
    vielen beaucoup très muchas muchos muito molte mille veel mycket tusen mange bardzo большое
    """
)
# Of replies as well, where they do not say how something is ("How is the soup?" - "The soup is fine.").
_OF_REPLY = _terms(
    """
    fine perfect cool clear alright course super lovely keep copy copied done nice excellent awesome amazing wonderful
    brilliant fantastic wow welcome bye
    gut klar prima alles bien parfait claro perfecto certo perfeito bem bene perfetto goed duidelijk bra fint
    ausgezeichnet wunderbar genial excelente ottimo ótimo świetnie dobrze jasne dobře
    отлично хорошо ладно ясно добре гаразд 好
    """
)


class Tells:
    """``Tells(question, ctx)(record)``. Remembers what it was asked; made for one recall."""

    def __init__(self, question: str, ctx: Context) -> None:
        self._ctx = ctx
        self._is_open = not _OPEN.isdisjoint(_WORD.findall(question.casefold()))
        self._is_closed = not self._is_open and asks(question)
        # Word by word as well: a text may keep what the question leaves out ("mot" is Swedish, too).
        asked = [*ctx.terms(question), *(term for word in question.split() for term in ctx.terms(word))]
        self._known = _OF_TALK.union(asked, () if self._is_open else _OF_REPLY)
        self._of: dict[tuple[str, str], bool] = {}
        self._states = cache(States(question, _OF_TALK, ctx))
        self._long = 4 * len(question.split()) + 20  # words; a longer text says more than a short question

    def __call__(self, record: Record) -> bool:
        if asks(record.text):
            return False
        return not self._is_open or self.more(record) or self._states(speaker(record), record.text)

    def more(self, record: Record) -> bool:
        """Whether it says more than the question does; of one that its own words may answer, whatever is said."""
        key = speaker(record), record.text
        if key not in self._of:
            self._of[key] = self._is_closed or self._says_more(*key)
        return self._of[key]

    def _says_more(self, speaker: str, text: str) -> bool:
        words = text.split()
        if len(text) > 10 * self._long or len(words) > self._long:
            return True
        known = self._known.union(self._ctx.terms(speaker))
        # Most texts tell in their first words, and need not be cut whole.
        if any(not _is_listed(word, terms := self._ctx.terms(word)) and not known.issuperset(terms) for word in words):
            return True
        beyond = set(self._ctx.terms(text)) - known
        if not beyond or "en" in lexical.languages(text):
            return bool(beyond)
        # A short text seldom tells its language: "du" says nothing in "Code du portail, merci."
        return not beyond.issubset(
            term
            for word in words
            if word[0].islower() and _is_listed(word, terms := self._ctx.terms(word))
            for term in terms
        )


def _is_listed(word: str, terms: Sequence[str]) -> bool:
    """Whether a word, or all that is joined in it ("c'est"), may be a function word; "thé" is not Vietnamese "the"."""
    bare = word.strip(_AROUND)
    return lexical.may_be_function_word(bare) or (
        _JOINED.search(bare) is not None and all(map(lexical.may_be_function_word, terms))
    )


def asks(text: str) -> bool:
    """Whether a text ends as a question."""
    return text.rstrip().endswith(_ASKS)
