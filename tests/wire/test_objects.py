from openai.types.fine_tuning import FineTuningJob

from agentrft.wire.objects import job_object, list_object, with_settled

SETTINGS = {
    "type": "supervised",
    "supervised": {"hyperparameters": {"batch_size": "auto", "n_epochs": 2, "learning_rate_multiplier": "auto"}},
}


def test_settled_values_replace_auto_and_nothing_else_appears() -> None:
    found = with_settled(SETTINGS, {"batch_size": 8, "n_epochs": 2, "warmup": 3})
    expected = {"batch_size": 8, "n_epochs": 2, "learning_rate_multiplier": "auto"}
    assert found == {"type": "supervised", "supervised": {"hyperparameters": expected}}
    assert SETTINGS["supervised"]["hyperparameters"]["batch_size"] == "auto"


def test_a_job_is_one_that_the_sdk_accepts() -> None:
    found = job_object(
        id="ftjob-1", model="m", status="running", created_at=1, finished_at=None, estimated_finish=None,
        fine_tuned_model=None, organization_id="local", result_files=(), training_file="file-1", validation_file=None,
        trained_tokens=None, error=None, suffix=None, seed=1, metadata=None, usage_metrics=None, settings=SETTINGS,
        settled=None,
    )  # fmt: skip
    job = FineTuningJob.model_validate(found)
    assert job.hyperparameters.n_epochs == 2
    assert found["error"] is None


def test_only_some_lists_name_their_ends() -> None:
    assert list_object([{"id": "a"}, {"id": "b"}], has_more=True, ends=True)["last_id"] == "b"
    assert list_object([], has_more=False, ends=True)["first_id"] is None
    assert "first_id" not in list_object([], has_more=False)
