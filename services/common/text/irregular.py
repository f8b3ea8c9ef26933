"""English verbs and nouns whose forms share no stem: a closed class, which rules of suffixes cannot know.

Left out are forms that are commoner as another word ("lay", "ground", "rose", "lives").
"""

from __future__ import annotations

_FORMS = """
    arise arose arisen; awake awoke awoken; bear borne; beat beaten; become became; begin began begun; bend bent;
    bind bound; bite bit bitten; bleed bled; blow blew blown; break broke broken; breed bred; bring brought;
    build built; burn burnt; buy bought; catch caught; choose chose chosen; cling clung; come came; creep crept;
    deal dealt; dig dug; draw drew drawn; dream dreamt; drink drank drunk; drive drove driven; eat ate eaten;
    fall fell fallen; feed fed; feel felt; fight fought; find found; flee fled; fly flew flown;
    forbid forbade forbidden; forget forgot forgotten; forgive forgave forgiven; freeze froze frozen; get got gotten;
    give gave given; go went gone; grow grew grown; hang hung; hear heard; hide hid hidden; hold held; keep kept;
    kneel knelt; know knew known; lead led; leap leapt; learn learnt; leave left; lend lent; light lit; lose lost;
    make made; mean meant; meet met; overcome overcame; pay paid; ride rode ridden; ring rang rung; rise risen;
    run ran; say said; see saw seen; seek sought; sell sold; send sent; shake shook shaken; shine shone; shoot shot;
    show shown; shrink shrank shrunk; sing sang sung; sink sank sunk; sit sat; sleep slept; slide slid; sow sown;
    speak spoke spoken; spend spent; spill spilt; spin spun; spoil spoilt; spring sprang sprung; stand stood;
    steal stole stolen; stick stuck; sting stung; strike struck; swear swore sworn; sweep swept; swell swollen;
    swim swam swum; swing swung; take took taken; teach taught; tear tore torn; tell told; think thought;
    throw threw thrown; understand understood; undertake undertook undertaken; wake woke woken; wear wore worn;
    weave wove woven; weep wept; win won; withdraw withdrew withdrawn; write wrote written; calf calves;
    child children; foot feet; goose geese; half halves; knife knives; loaf loaves; man men; mouse mice;
    shelf shelves; thief thieves; tooth teeth; wife wives; wolf wolves; woman women
"""
_ROWS = [row.split() for row in _FORMS.split(";")]

BASE = {form: base for base, *forms in _ROWS for form in forms}
"""The form that a dictionary lists, by the others."""
OTHERS = {base: tuple(forms) for base, *forms in _ROWS}
