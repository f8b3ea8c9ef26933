"""Times by kind, as people write them: what is none, what is to come, what is past, ranges, figures, small letters.

All are said on Wednesday 6 May 2026, and every expected day was read off a calendar.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.common.text.times import find

WEDNESDAY = datetime(2026, 5, 6, 12, tzinfo=UTC)

NOT_A_TIME = """
The hall holds 1200 guests.
The hall was filled by 1200 guests.
It was sold for 1950 euros.
A crowd of 2000 stood outside.
The price of 1800 is too high.
We walked through 1500 rooms.
The boat sank in 2000 metres of water.
between 1500 and 2000 people came
The town grew by 1900 last.
The shop stays open until 1800.
the population of 1850
Her 2nd cousin plays the oboe.
the 4th floor has no lift
Turn left at the 3rd light.
We live on the 5th floor.
This is the 2nd to last page.
He came in on the 12th try.
the 21st century
the 7th chapter bored me
She won on the 18th hole.
the 1st of many problems
Sat on the sofa, reading all evening.
Sat down with Ann.
Sun was shining.
Wed at last!
Mon frère est là.
We meet on Saturday 16.
He is the 4th Duke of Kent.
We watched the fall of the leaves from the porch swing.
a spring in the mattress broke
The spring broke.
He drank from the spring.
She has not walked well since the fall.
In the fall of Rome nobody won.
They serve spring rolls.
I need a winter coat.
the spring water tastes of iron
Her fall was a shock.
I had lunch with June Carter.
April is my sister.
I asked May for the key.
June called.
I got a letter from June.
She sat next to August Wilson.
He bought a present for April.
That is April's bicycle.
A poem by May Sarton
the song was sung by June
We march on; second to none
may I come in
You may 5 times out of 10 be right.
the march was long
the sun sat on the hill and we wed
Friday, our parrot, bit the postman.
Friday bit the postman.
Wednesday Addams is a girl.
We read the Sunday Times.
The Tuesday Club meets at ours.
a dog named Friday
our cat called Sunday
every Friday we swim
On Fridays we swim.
We have a girl Friday at the office.
part number 2201-11-07
part number 2021-11-07
serial 1999-12-31 is printed on the lid
Invoice 2023-04-05 is lost.
The ticket number is 2024-05-06.
build 2024.10.12 crashes
model 2019/11/02
A-2026-01-20-x
room 2015-11-10
The bridge was built in three years.
She learnt Greek in two months.
It can be done in two days.
twice in a week
I am back in a minute
It rained for three days.
We are sold out in two weeks of sale.
03/04/2026
Version 12.10.2 is out.
Call 0171-2026-11.
31 February
in ten years' experience
We bought a Christmas tree.
Easter Island is far.
Father Christmas waved.
I was inspired by autumn.
The autumn colours are beautiful.
We have not talked in a few days.
USA Today wrote of it.
It was a Monday thing.
She wore her Sunday dress.
I gave Friday a nut.
Did Friday bite the postman?
Who fed Friday?
My dog Friday ran away.
half a year ago
31 June 2024
29 February 2023
The following week it rained.
every other Tuesday
a week from Monday
Monday week
Friday is my parrot.
Chapter 12 April was long
It costs 20 euros a day.
a one year old child
Robinson and Friday built a raft.
Henry the 8th had six wives.
Sunday is the name of her boat.
It costs 1900-2000 euros.
a crowd of 2000–2500 people
The price is 1950-2000.
The temperature was in the 90s.
module 2018-06 is obsolete
order 20240301 arrived
The range 2010-12 was unclear.
the third half of 2022
bought 20-01-26
the score 12/12/12
Friday's Child is a poem
I finished reading Thursday's Children.
Ruby Tuesday is my favourite song.
“Yesterday” is a song by the Beatles.
Easter Parade is a film.
Our dog Easter is old.
next Friday but one
a week last Tuesday
a week on Friday
a day before Monday
two years before 1990
in '98 pounds
a budget of 1800-2000
The seats 2011-2014 are taken.
""".strip().splitlines()

# Past or to come: nothing says which.
OPEN = """
I hoped to see her on Sunday but she was ill.
She'd planned to leave on Friday but stayed.
We were planning to leave on Friday.
My brother wished to visit on Thursday.
He would not come on Thursday.
He couldn't sleep on Friday.
Nobody could find the key on Tuesday.
The baby wouldn't sleep on Monday.
She said she would come on Thursday but she didn't.
Tom told me he was leaving on Friday.
The match was scheduled for Sunday but was cancelled.
We booked a table for Saturday, but the place was shut.
We arranged a picnic for Saturday, it poured.
I reserved seats for Sunday. But the show was off.
I asked her to bring the keys on Friday and she forgot.
Lena had agreed to meet us on Tuesday.
As of March we have a new landlord.
""".strip().splitlines()

# text, first day, day after the last
TO_COME = [
    ("We hope to see her on Sunday.", "2026-05-10", "2026-05-11"),
    ("We have decided to leave on Friday.", "2026-05-08", "2026-05-09"),
    ("I would like to meet on Friday.", "2026-05-08", "2026-05-09"),
    ("It would be great to see you on Sunday.", "2026-05-10", "2026-05-11"),
    ("Would you come on Tuesday?", "2026-05-12", "2026-05-13"),
    ("We could meet on Thursday.", "2026-05-07", "2026-05-08"),
    ("I can't make it on Friday.", "2026-05-08", "2026-05-09"),
    ("She said she would come on Thursday.", "2026-05-07", "2026-05-08"),
    ("I was ill but will be back on Monday.", "2026-05-11", "2026-05-12"),
    ("I'm stressed about the launch on 28 November, but I hoped it helps.", "2026-11-28", "2026-11-29"),
    ("I asked her to pay by Friday, and I am glad.", "2026-05-08", "2026-05-09"),
    ("As of Monday the office will be closed.", "2026-05-11", "2026-05-12"),
    ("Hand in the form by Tuesday.", "2026-05-12", "2026-05-13"),
    ("Submit the report by Friday.", "2026-05-08", "2026-05-09"),
    ("They moved the concert to Saturday.", "2026-05-09", "2026-05-10"),
    ("The dentist moved the appointment to Thursday.", "2026-05-07", "2026-05-08"),
    ("The exam was shifted to Monday.", "2026-05-11", "2026-05-12"),
    ("The match has been postponed until Sunday.", "2026-05-10", "2026-05-11"),
    ("We booked a table for Friday.", "2026-05-08", "2026-05-09"),
    ("The premium is due on June 1.", "2026-06-01", "2026-06-02"),
    ("Rent due on the 15th.", "2026-05-15", "2026-05-16"),
    ("The tax is payable on March 3.", "2027-03-03", "2027-03-04"),
    ("Any ideas for this winter?", "2026-12-01", "2027-03-01"),
    ("What shall we do this summer?", "2026-06-01", "2026-09-01"),
    ("Our lease ends in August.", "2026-08-01", "2026-09-01"),
    ("Our passports expire in November.", "2026-11-01", "2026-12-01"),
    ("We leave on Friday.", "2026-05-08", "2026-05-09"),
    ("I'm seeing the dentist on Friday.", "2026-05-08", "2026-05-09"),
    ("I'm seeing Dr. Lee on Friday.", "2026-05-08", "2026-05-09"),
    ("We meet at 5 p.m. on Friday.", "2026-05-08", "2026-05-09"),
    ("I am meeting P. B. Shelley on Friday.", "2026-05-08", "2026-05-09"),
    ("I have an exam on Monday.", "2026-05-11", "2026-05-12"),
    ("I've got an exam on Monday.", "2026-05-11", "2026-05-12"),
    ("Who is coming on Saturday?", "2026-05-09", "2026-05-10"),
    ("On Saturday, who is coming?", "2026-05-09", "2026-05-10"),
    ("What do I have on Thursday?", "2026-05-07", "2026-05-08"),
    ("Where are we going in July?", "2026-07-01", "2026-08-01"),
    ("Call mum on Sunday.", "2026-05-10", "2026-05-11"),
    ("call mom on sunday", "2026-05-10", "2026-05-11"),
    ("Don't forget to pay on the 20th.", "2026-05-20", "2026-05-21"),
    ("She agreed to meet us on Monday.", "2026-05-11", "2026-05-12"),
    ("He promised to come on Sunday.", "2026-05-10", "2026-05-11"),
    ("She asked me to pay by Friday.", "2026-05-08", "2026-05-09"),
    ("The shop is closed on Friday.", "2026-05-08", "2026-05-09"),
    ("The wedding is on 12 September.", "2026-09-12", "2026-09-13"),
    ("Will Grace call on Tuesday?", "2026-05-12", "2026-05-13"),
    ("Hope says she is leaving on Tuesday.", "2026-05-12", "2026-05-13"),
    ("We left early, and on Friday we fly to Rome.", "2026-05-08", "2026-05-09"),
    ("The contract runs until October.", "2026-10-01", "2026-11-01"),
    ("It will be ready in two weeks.", "2026-05-18", "2026-05-25"),
    ("The train leaves in three days.", "2026-05-09", "2026-05-10"),
    ("We are meeting this Friday.", "2026-05-08", "2026-05-09"),
    ("Let's go there next Sunday.", "2026-05-10", "2026-05-11"),
    ("What are you doing for Christmas?", "2026-12-25", "2026-12-26"),
    ("My mother visits us at Easter.", "2027-03-28", "2027-03-29"),
    ("The flight departs June 3.", "2026-06-03", "2026-06-04"),
    ("They are getting married in July.", "2026-07-01", "2026-08-01"),
    ("He will have left on Sunday.", "2026-05-10", "2026-05-11"),
    ("Does Saturday sound good?", "2026-05-09", "2026-05-10"),
    ("Saturday works for me.", "2026-05-09", "2026-05-10"),
    ("The doctor said to come back in three weeks.", "2026-05-25", "2026-06-01"),
    ("The rent is due the 1st.", "2026-06-01", "2026-06-02"),
    ("7 May at 12:30", "2026-05-07", "2026-05-08"),
    ("Monday next", "2026-05-11", "2026-05-12"),
    ("Are you free the weekend after next?", "2026-05-23", "2026-05-25"),
    ("Reminder: dentist on Thursday", "2026-05-07", "2026-05-08"),
    ("What are we doing at the weekend?", "2026-05-09", "2026-05-11"),
    ("Dinner with Ann on Friday.", "2026-05-08", "2026-05-09"),
    ("Dentist on Monday at nine.", "2026-05-11", "2026-05-12"),
    ("Party at Leo's on Saturday night!", "2026-05-09", "2026-05-10"),
    ("Car service on the 20th.", "2026-05-20", "2026-05-21"),
    ("flight to lisbon on friday", "2026-05-08", "2026-05-09"),
]

PAST = [
    ("Grace called on Tuesday.", "2026-05-05", "2026-05-06"),
    ("Hope visited on Monday.", "2026-05-04", "2026-05-05"),
    ("Will paid on Friday.", "2026-05-01", "2026-05-02"),
    ("May called on Friday.", "2026-05-01", "2026-05-02"),
    ("The man next to her left on Sunday.", "2026-05-03", "2026-05-04"),
    ("Their will was signed on Monday.", "2026-05-04", "2026-05-05"),
    ("The coming storm was named on Monday.", "2026-05-04", "2026-05-05"),
    ("I was going to see Bob on Friday.", "2026-05-01", "2026-05-02"),
    ("Did Ann go on Friday?", "2026-05-01", "2026-05-02"),
    ("What did we eat on Saturday?", "2026-05-02", "2026-05-03"),
    ("On Sunday we went to the lake.", "2026-05-03", "2026-05-04"),
    ("What happened on Sunday?", "2026-05-03", "2026-05-04"),
    ("I will tell you what happened on Sunday.", "2026-05-03", "2026-05-04"),
    ("I have finished it on Monday.", "2026-05-04", "2026-05-05"),
    ("She has been ill since Monday.", "2026-05-04", "2026-05-05"),
    ("I remember seeing him on Monday.", "2026-05-04", "2026-05-05"),
    ("He should have paid on Monday.", "2026-05-04", "2026-05-05"),
    ("The report was finished by Monday.", "2026-05-04", "2026-05-05"),
    ("We moved to Leeds in August.", "2025-08-01", "2025-09-01"),
    ("We had snow in December.", "2025-12-01", "2026-01-01"),
    ("The roof was mended on 12 September.", "2025-09-12", "2025-09-13"),
    ("It broke on the 20th.", "2026-04-20", "2026-04-21"),
    ("What did you do for Christmas?", "2025-12-25", "2025-12-26"),
    ("We went to Spain at Easter.", "2026-04-05", "2026-04-06"),
    ("This winter was cold.", "2025-12-01", "2026-03-01"),
    ("Last winter was cold.", "2025-12-01", "2026-03-01"),
    ("In the summer we swam every day.", "2025-06-01", "2025-09-01"),
    ("We painted the fence at the weekend.", "2026-05-02", "2026-05-04"),
    ("Where was I on Monday?", "2026-05-04", "2026-05-05"),
    ("She saw him leave on Monday.", "2026-05-04", "2026-05-05"),
    ("We stayed until Sunday.", "2026-05-03", "2026-05-04"),
    ("He must have left on Sunday.", "2026-05-03", "2026-05-04"),
    ("They got married in July.", "2025-07-01", "2025-08-01"),
    ("We were married in July.", "2025-07-01", "2025-08-01"),
    ("How was the weekend?", "2026-05-02", "2026-05-04"),
    ("We met on Tuesday last.", "2026-05-05", "2026-05-06"),
    ("last Friday", "2026-05-01", "2026-05-02"),
    ("this past Friday", "2026-05-01", "2026-05-02"),
    ("Lovely dinner with Ann on Friday.", "2026-05-01", "2026-05-02"),
    ("We quit on Friday.", "2026-05-01", "2026-05-02"),
    ("I read it on Thursday.", "2026-04-30", "2026-05-01"),
    ("Ran 10k on Sunday!", "2026-05-03", "2026-05-04"),
    ("Bill, who will be forty soon, called on Friday.", "2026-05-01", "2026-05-02"),
]

RANGES_AND_FORMS = [
    ("from 7 to 9 April 2024", "2024-04-07", "2024-04-10"),
    ("7-9 April 2024", "2024-04-07", "2024-04-10"),
    ("7–9 April 2024", "2024-04-07", "2024-04-10"),
    ("April 7-9, 2024", "2024-04-07", "2024-04-10"),
    ("April 7 to 9, 2024", "2024-04-07", "2024-04-10"),
    ("between the 7th and the 9th of April 2024", "2024-04-07", "2024-04-10"),
    ("between April 7 and 9, 2024", "2024-04-07", "2024-04-10"),
    ("from April 7 to May 2, 2024", "2024-04-07", "2024-05-03"),
    ("from 28 December to 3 January 2024", "2023-12-28", "2024-01-04"),
    ("from 7 April 2024 to 9 April 2024", "2024-04-07", "2024-04-10"),
    ("we were away from the 2nd to the 5th", "2026-05-02", "2026-05-06"),
    ("between 2015 and 2018", "2015-01-01", "2019-01-01"),
    ("from 2015 to 2018", "2015-01-01", "2019-01-01"),
    ("in 2015-2018", "2015-01-01", "2019-01-01"),
    ("from 2015 until 2018 we lived there", "2015-01-01", "2019-01-01"),
    ("between June and August 2023", "2023-06-01", "2023-09-01"),
    ("from June to August 2023", "2023-06-01", "2023-09-01"),
    ("June–August 2023", "2023-06-01", "2023-09-01"),
    ("from November 2022 to February 2023", "2022-11-01", "2023-03-01"),
    ("from November to February 2023", "2022-11-01", "2023-03-01"),
    ("They stayed from June to August.", "2025-06-01", "2025-09-01"),
    ("It rained from Monday to Tuesday.", "2026-05-04", "2026-05-06"),
    ("We were there between Friday and Sunday.", "2026-05-01", "2026-05-04"),
    ("We will be there from Friday to Sunday.", "2026-05-08", "2026-05-11"),
    ("from Monday to Friday", "2026-04-27", "2026-05-02"),
    ("between Monday and Wednesday", "2026-05-04", "2026-05-07"),
    ("from Monday till Wednesday", "2026-05-04", "2026-05-07"),
    ("We work from Monday till Wednesday.", "2026-05-11", "2026-05-14"),
    ("the week before last", "2026-04-20", "2026-04-27"),
    ("the Friday before last", "2026-04-24", "2026-04-25"),
    ("the month after next", "2026-07-01", "2026-08-01"),
    ("two weeks ago today", "2026-04-22", "2026-04-23"),
    ("two dozen days ago", "2026-04-12", "2026-04-13"),
    ("on sunday 3 may", "2026-05-03", "2026-05-04"),
    ("since Sunday, 3 May", "2026-05-03", "2026-05-04"),
    ("in mid-June 2023", "2023-06-01", "2023-07-01"),
    ("the Monday before July 24, 2023", "2023-07-17", "2023-07-18"),
    ("the Saturday after October 28, 2023", "2023-11-04", "2023-11-05"),
    ("over the weekend before 4 October 2023", "2023-09-30", "2023-10-02"),
    ("the weekend of 4 October 2023", "2023-10-07", "2023-10-09"),
    ("the last two weeks of August 2023", "2023-08-01", "2023-09-01"),
    ("The shop is open Monday to Friday.", "2026-05-11", "2026-05-16"),
    ("30 April - 2 May 2025", "2025-04-30", "2025-05-03"),
    ("April 30 to May 2, 2025", "2025-04-30", "2025-05-03"),
    ("the third Thursday of November 2024", "2024-11-21", "2024-11-22"),
    ("on the last Friday in April 2024", "2024-04-26", "2024-04-27"),
    ("we ate there on thursday", "2026-04-30", "2026-05-01"),
    ("we ate there last thursday", "2026-04-30", "2026-05-01"),
    ("see you tomorrow", "2026-05-07", "2026-05-08"),
    ("she was born on 3 june 1990", "1990-06-03", "1990-06-04"),
    ("we met in february", "2026-02-01", "2026-03-01"),
    ("we met on may 3", "2026-05-03", "2026-05-04"),
    ("in may 2024", "2024-05-01", "2024-06-01"),
    ("Fri 3 April 2026", "2026-04-03", "2026-04-04"),
    ("she came on fri", "2026-05-01", "2026-05-02"),
    ("She came on Fri.", "2026-05-01", "2026-05-02"),
    ("sent 2026/01/20", "2026-01-20", "2026-01-21"),
    ("sent on 20.01.2026", "2026-01-20", "2026-01-21"),
    ("sent on 1.2.2026", "2026-02-01", "2026-02-02"),
    ("sent on 20/01/2026", "2026-01-20", "2026-01-21"),
    ("sent on 01/20/2026", "2026-01-20", "2026-01-21"),
    ("sent on 2026-1-5", "2026-01-05", "2026-01-06"),
    ("offline since 2026-04-02T08:30:00+02:00", "2026-04-02", "2026-04-03"),
    ("offline since 2026-04-02T00:30:00+02:00", "2026-04-02", "2026-04-03"),
    ("offline since 2026-04-02T08:30Z", "2026-04-02", "2026-04-03"),
    ("offline since 2026-04-02 08:30", "2026-04-02", "2026-04-03"),
    ("the 2026-04-02 backup", "2026-04-02", "2026-04-03"),
    ("thirty days ago", "2026-04-06", "2026-04-07"),
    ("twenty-one days ago", "2026-04-15", "2026-04-16"),
    ("a hundred days ago", "2026-01-26", "2026-01-27"),
    ("fifteen years ago", "2011-01-01", "2012-01-01"),
    ("six weeks ago", "2026-03-23", "2026-03-30"),
    ("30 days back", "2026-04-06", "2026-04-07"),
    ("two hours ago", "2026-05-06", "2026-05-07"),
    ("fifteen hours ago", "2026-05-05", "2026-05-06"),
    ("in the last three days", "2026-05-03", "2026-05-07"),
    ("over the past two weeks", "2026-04-22", "2026-05-07"),
    ("in the next ten days", "2026-05-06", "2026-05-17"),
    ("in the 1980s", "1980-01-01", "1990-01-01"),
    ("the summer of 2015", "2015-06-01", "2015-09-01"),
    ("winter 2023", "2023-12-01", "2024-03-01"),
    ("in early June 2023", "2023-06-01", "2023-07-01"),
    ("We were there in early January.", "2026-01-01", "2026-02-01"),
    ("on the first of March 2024", "2024-03-01", "2024-03-02"),
    ("the twenty-first of March 2024", "2024-03-21", "2024-03-22"),
    ("at the end of March", "2026-03-01", "2026-04-01"),
    ("Tuesday of last week", "2026-04-28", "2026-04-29"),
    ("next week on Tuesday", "2026-05-12", "2026-05-13"),
    ("Friday next week", "2026-05-15", "2026-05-16"),
    ("Hallowe'en", "2025-10-31", "2025-11-01"),
    ("the flood of 1953", "1953-01-01", "1954-01-01"),
    ("He was born in 1984.", "1984-01-01", "1985-01-01"),
    ("In 2015 people voted for it.", "2015-01-01", "2016-01-01"),
    ("by 2030 we want to be done", "2030-01-01", "2031-01-01"),
    ("In June Carter was born.", "2025-06-01", "2025-07-01"),
    ("Tuesday was awful.", "2026-05-05", "2026-05-06"),
    ("yesterday's storm", "2026-05-05", "2026-05-06"),
    ("they lived there 2010–2014", "2010-01-01", "2015-01-01"),
    ("He was mayor (2010-2014).", "2010-01-01", "2015-01-01"),
    ("In Q3 2023 we sold the van.", "2023-07-01", "2023-10-01"),
    ("2023-Q2 was quiet", "2023-04-01", "2023-07-01"),
    ("in the third quarter of 2023", "2023-07-01", "2023-10-01"),
    ("the first half of 2022", "2022-01-01", "2022-07-01"),
    ("H2 2022", "2022-07-01", "2023-01-01"),
    ("in the 90s we lived in Rome", "1990-01-01", "2000-01-01"),
    ("the '80s", "1980-01-01", "1990-01-01"),
    ("the nineties were loud", "1990-01-01", "2000-01-01"),
    ("in the late 1990s", "1990-01-01", "2000-01-01"),
    ("in the 1800s", "1800-01-01", "1900-01-01"),
    ("2024-03-01/2024-03-10", "2024-03-01", "2024-03-11"),
    ("2024-03-01T10:00Z/2024-03-03T10:00Z", "2024-03-01", "2024-03-04"),
    ("2024-03-01 to 2024-03-10", "2024-03-01", "2024-03-11"),
    ("01.03.2024 - 10.03.2024", "2024-03-01", "2024-03-11"),
    ("01.03.2024-10.03.2024", "2024-03-01", "2024-03-11"),
    ("2024-03 to 2024-05", "2024-03-01", "2024-06-01"),
    ("2018-06 was wet", "2018-06-01", "2018-07-01"),
    ("20260120T101500Z", "2026-01-20", "2026-01-21"),
    ("signed 12-Mar-2024", "2024-03-12", "2024-03-13"),
    ("sent on 20/01/26", "2026-01-20", "2026-01-21"),
    ("sent on 20.01.98", "1998-01-20", "1998-01-21"),
    ("in early 2021", "2021-01-01", "2022-01-01"),
    ("March 5 - March 9", "2026-03-05", "2026-03-10"),
    ("from 1 May to 9 May", "2026-05-01", "2026-05-10"),
    ("We are away from 1 May to 9 May.", "2026-05-01", "2026-05-10"),
    ("5 March 2025 – 9 March", "2025-03-05", "2025-03-10"),
    ("Wed., May 6", "2026-05-06", "2026-05-07"),
    ("2003-2007 University of Leeds", "2003-01-01", "2008-01-01"),
    ("2011-2014", "2011-01-01", "2015-01-01"),
    ("the years 2001 to 2003", "2001-01-01", "2004-01-01"),
    ("We met in '98.", "1998-01-01", "1999-01-01"),
    ("He graduated in ’05.", "2005-01-01", "2006-01-01"),
    ("the summer of '98", "1998-06-01", "1998-09-01"),
    ("June '24", "2024-06-01", "2024-07-01"),
    ("12 May '98", "1998-05-12", "1998-05-13"),
    ("as of 1 March 2024", "2024-03-01", "2024-03-02"),
    ("as of March", "2026-03-01", "2026-04-01"),
    ("two days after 3 March 2024", "2024-03-05", "2024-03-06"),
    ("two weeks before 11 August 2023", "2023-07-24", "2023-07-31"),
    ("a few days before 22 November 2023", "2023-11-18", "2023-11-21"),
    ("two weekends before 17 July 2023", "2023-07-08", "2023-07-10"),
    ("three days before Christmas", "2025-12-22", "2025-12-23"),
    ("the day after Christmas", "2025-12-26", "2025-12-27"),
    ("the night before Christmas", "2025-12-24", "2025-12-25"),
    ("on the night of 5 March 2024", "2024-03-05", "2024-03-06"),
    ("the month after 5 March 2024", "2024-03-06", "2024-04-06"),
    ("the two weeks before 11 August 2023", "2023-07-28", "2023-08-11"),
    ("several days after 3 March 2024", "2024-03-06", "2024-03-10"),
    ("the last weekend before 10 April 2023", "2023-04-08", "2023-04-10"),
    ("the Friday before Easter 2024", "2024-03-29", "2024-03-30"),
    ("We planned to leave on 3 March 2024 but stayed.", "2024-03-03", "2024-03-04"),
]


def spans(text: str, now: datetime = WEDNESDAY) -> list[tuple[str, str]]:
    return [(f"{m.start:%Y-%m-%d}", f"{m.end:%Y-%m-%d}") for m in find(text, now)]


def table(rows: list[tuple[str, str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("text", "first", "after"), [pytest.param(*row, id=row[0]) for row in rows])


@pytest.mark.parametrize("text", NOT_A_TIME)
def test_a_number_a_noun_or_a_name_is_no_time(text: str) -> None:
    assert spans(text) == []


@pytest.mark.parametrize("text", OPEN)
def test_a_plan_that_is_told_may_have_come_to_nothing(text: str) -> None:
    assert spans(text) == []


@table(TO_COME)
def test_what_the_sentence_looks_ahead_to_is_to_come(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@table(PAST)
def test_what_the_sentence_looks_back_on_is_past(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@table(RANGES_AND_FORMS)
def test_a_range_keeps_its_year_and_both_its_ends_and_every_form_is_seen(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


def test_what_was_moved_from_one_day_to_another_is_on_the_other() -> None:
    assert spans("They moved the lunch from Monday to Thursday.") == [
        ("2026-05-11", "2026-05-12"),
        ("2026-05-07", "2026-05-08"),
    ]


@pytest.mark.parametrize(
    "text", ["Sat 3pm", "Sat: dentist", "Sat is fine.", "Tue works for me.", "Fri evening was fun.", "Meet me Sat."]
)
def test_a_short_weekday_is_one_where_nothing_tells_another_word(text: str) -> None:
    [(first, after)] = spans(text)
    assert (datetime.fromisoformat(after) - datetime.fromisoformat(first)).days == 1
