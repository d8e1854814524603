"""Answers to the exercises of 01_preprocess: (exercise, code, what its check says; None if it is right)."""

SPAN = """
began = clean[clean["action"] == "click"].groupby(["session", "item"])["time"].last().rename("began")
took = clean[clean["action"] == "dwell"].join(began, on=["session", "item"])
span = (took["time"] - took["began"]).dt.total_seconds()
"""
DWELL = SPAN + 'repaired = (span - (span - took["dwell_s"]).median())[stuck_rows.index].clip(lower=1).fillna(60)'
DWELL_IN_A_LOOP = """
repaired = pd.Series(60.0, index=stuck_rows.index)
for place, look in stuck_rows.iterrows():
    visit = clean[clean["session"] == look["session"]]
    clicked = visit[(visit["item"] == look["item"]) & (visit["action"] == "click")]
    if len(clicked):
        repaired[place] = max((look["time"] - clicked["time"].max()).total_seconds() - 6.5, 1)
"""
WHOLE = """
newest_visit = clicks.sort_values("time", kind="stable").groupby("person")["session"].transform("last")
several = clicks.groupby("person")["session"].transform("nunique") > 1
in_test = (clicks["session"] == newest_visit) & several
"""
WHOLE_FROM_A_TABLE = """
visits = clicks.groupby(["person", "session"])["time"].max().reset_index().sort_values("time")
visits = visits[visits["person"].duplicated(keep=False)]
in_test = clicks["session"].isin(visits.drop_duplicates("person", keep="last")["session"]).to_numpy()
"""

ANSWERS = [
    (0, DWELL, None),
    (0, DWELL_IN_A_LOOP, None),
    (0, 'repaired = pd.Series(clean["dwell_s"].median(), index=stuck_rows.index)', "the clock can"),
    (0, SPAN + "repaired = span[stuck_rows.index].fillna(60)", "some seconds too long"),
    (0, DWELL.replace("(span - took", "(span + 6.5 - took"), "some seconds too short"),
    (0, "repaired = stuck_rows['dwell_s']", "none may be missing"),
    (0, SPAN + "repaired = (took['time'] - took['began'])[stuck_rows.index]", "in seconds"),
    (0, DWELL + "\nrepaired = repaired.reset_index(drop=True)", "with its index"),
    (0, DWELL + "\nrepaired = repaired.tolist()", "with its index"),
    (0, "repaired = 60", "with its index"),
    (1, WHOLE, None),
    (1, WHOLE_FROM_A_TABLE, None),
    (1, "in_test = ~clicks['person'].duplicated(keep='last')", "a visit is torn"),
    (1, WHOLE.replace(" & several", ""), "came only once"),
    (1, WHOLE.replace('"last")', '"first")'), "not the person's newest"),
    (1, WHOLE + "in_test &= clicks['person'] < 'p1000'", "are not tested"),
    (1, WHOLE + "in_test = clicks[in_test]", "one True or False a row"),
    (1, WHOLE + "in_test = np.flatnonzero(in_test)", "one True or False a row"),
]
