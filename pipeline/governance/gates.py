GATES: dict = dict.fromkeys(
    [
        "version_ready",
        "files_present",
        "signature",
        "feature_schema",
        "accuracy",
        "better_than_baseline",
        "not_champion",
        "stage_is_staging",
        "not_worse_than_incumbent",
        "no_slice_worse",
        "explanation_adds_up",
        "digest_recorded",
        "smoke_prediction",
    ]
)
