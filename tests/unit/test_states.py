from jobs.states import FINAL, IN_FLIGHT, OPEN_PHASES, TRANSITIONS, UNSETTLED_PHASES, Phase, State

# The picture of a job's life, arrow by arrow.
PICTURE = """
pending → queued running cancelled
queued → pending submitting running cancelled
submitting → pending unconfirmed running failed
unconfirmed → pending running failed
running → pending collecting failed cancelled
collecting → succeeded failed
succeeded → pending
failed → pending cancelled running
cancelled → pending
"""


def test_the_legal_moves_are_those_of_the_picture():
    drawn = {}
    for line in PICTURE.strip().splitlines():
        source, targets = line.split(" → ")
        drawn[State(source)] = {State(target) for target in targets.split()}
    assert drawn == TRANSITIONS


def test_every_state_can_be_reached_from_pending():
    reached, ahead = set(), [State.PENDING]
    while ahead:
        state = ahead.pop()
        if state not in reached:
            reached.add(state)
            ahead += TRANSITIONS[state]
    assert reached == set(State)


def test_no_state_leads_to_itself():
    assert not [state for state in State if state in TRANSITIONS[state]]


def test_what_is_final_moves_only_when_a_person_asks_or_what_it_failed_for_want_of_turns_up():
    assert {State.SUCCEEDED, State.FAILED, State.CANCELLED} == FINAL
    moves = {(state, target) for state in FINAL for target in TRANSITIONS[state]}
    unasked = {(state, target) for state, target in moves if target not in {State.PENDING, State.CANCELLED}}
    assert unasked == {(State.FAILED, State.RUNNING)}


def test_what_is_paid_is_never_wanted_again_by_itself():
    assert TRANSITIONS[State.COLLECTING] == {State.SUCCEEDED, State.FAILED}


def test_nothing_is_bought_without_an_intent():
    assert {state for state in State if State.SUBMITTING in TRANSITIONS[state]} == {State.QUEUED}


def test_in_flight_is_what_may_cost_money_or_is_about_to():
    assert {State.QUEUED, State.SUBMITTING, State.UNCONFIRMED, State.RUNNING} == IN_FLIGHT


def test_an_open_phase_is_its_jobs_state_word_for_word():
    assert {phase.value for phase in OPEN_PHASES} <= {state.value for state in State}
    assert UNSETTLED_PHASES < OPEN_PHASES < set(Phase)


def test_ours_is_cancelled_and_never_the_apis_word():
    assert "canceled" not in {*State, *Phase}
