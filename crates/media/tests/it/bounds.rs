//! What is promised about types, checked by the compiler.

#[cfg(any(feature = "audio", feature = "video"))]
use bedplate_media::Support;
use bedplate_media::{Format, Limits, MediaError, Modality, Report, Warning};

const fn shared<T: Send + Sync + 'static>() {}

#[test]
fn public_types_cross_threads() {
    shared::<Format>();
    shared::<Limits>();
    shared::<MediaError>();
    shared::<Modality>();
    shared::<Report>();
    shared::<Warning>();
}

#[test]
#[cfg(any(feature = "audio", feature = "video"))]
fn support_crosses_threads() {
    shared::<Support>();
}

#[test]
fn reports_of_absent_modalities_say_which_feature_is_missing() {
    for (format, enabled) in [
        (Format::Text, cfg!(feature = "text")),
        (Format::Png, cfg!(feature = "image")),
        (Format::Wav, cfg!(feature = "audio")),
        (Format::Mp4, cfg!(feature = "video")),
    ] {
        let error = bedplate_media::analyze(format, b"", &Limits::default()).unwrap_err();
        let disabled = matches!(error, MediaError::Disabled { modality } if modality == format.modality());
        assert_eq!(disabled, !enabled, "{format}: {error}");
    }
}
