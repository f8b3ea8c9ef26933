"""What persons do, in German, behind a name at the head of a sentence, which every noun may open: what is done, who
somebody is, what somebody has done."""

from __future__ import annotations

import re

_VERBS = """
    sagt sagte fragt fragte meint meinte erzählt erzählte antwortet antwortete schreibt schrieb telefoniert
    telefonierte wohnt wohnte arbeitet arbeitete studiert studierte heiratet heiratete kauft kaufte bezahlt
    bezahlte kocht kochte liest las mag mochte möchte will wollte glaubt glaubte denkt dachte weiß wusste
    kennt kannte lernt lernte heißt hieß besucht besuchte trifft traf hilft half bringt brachte schickt
    schickte hasst hasste liebt liebte lacht lachte lächelt lächelte nickt nickte hustet hustete
"""
_KIN = """
    tante onkel mutter vater schwester bruder sohn tochter cousin cousine neffe nichte freund freundin chef
    chefin kollege kollegin nachbar nachbarin mann frau oma opa
"""
_DEEDS = """
    angerufen gesagt geschrieben gekauft gefragt erzählt bezahlt geheiratet besucht gearbeitet gewohnt
    versprochen gekündigt unterschrieben eingeladen vergessen geantwortet gekocht bestellt geholfen gelernt
    studiert abgesagt zugesagt mitgebracht repariert gemeint Geburtstag
"""
DOES = re.compile(
    rf"\s+(?:{'|'.join(_VERBS.split())}"
    r"|r(?:uft|ief) [^.!?;]{0,30}\ban|freute? sich|spielte? (?:Geige|Klavier|Gitarre|Flöte|Tennis|Fußball|Schach)"
    r"|(?:und|oder) (?:ich|er|wir|mein|sein|ihr)\w*|f(?:ährt|uhr|liegt|log) (?:nach|zu|mit|in)"
    r"|k(?:ommt|am) (?:morgen|heute|gestern|zu (?:spät|Besuch|uns|mir)|mit|nach Hause|nicht zum?)"
    r"|(?:ist|war) (?:krank|gesund|müde|nett|schwanger|verheiratet|geschieden|verlobt|pünktlich|im Urlaub|dabei"
    rf"|(?:mein|dein|sein|ihr|unser|eue?r)e? (?i:{'|'.join(_KIN.split())}))"
    rf"|ha(?:t|tte) [^.!?;]{{0,60}}(?:{'|'.join(_DEEDS.split())}))\b"
)
