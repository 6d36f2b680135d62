from agentrft.store.events import step_message


def test_step_messages_are_openais_own() -> None:
    full = step_message(10, 20, train_reward=0.42157, valid_reward=0.675)
    assert full.startswith("Step 10/20 , train mean reward=0.42, full validation mean reward=0.68, ")
    assert full.endswith(", full validation mean parse error=0.00")
    assert step_message(9, 20, train_reward=0.41) == "Step 9/20 , train mean reward=0.41"
