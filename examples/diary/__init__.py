"""The Diary of a Nobody: a public-domain diary as memories, with questions about it."""
