"""A local page to work in: choose a clip, look at what moves, try, compare, render.

:mod:`mm.studio.work` does the work and knows no page; :mod:`mm.studio.page` is the page, on NiceGUI, which
the extra ``studio`` installs.
"""
