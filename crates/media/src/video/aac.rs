//! What MPEG-4 sound says about itself (ISO/IEC 14496-3, 1.6.2.1): the sample entry around it need not be true.

use re_mp4::Mp4aBox;

/// Returns sample rate and channels, each from the decoder configuration or else from the sample entry.
pub(super) fn rate_and_channels(sound: &Mp4aBox) -> (u32, u16) {
    let (rate, channels) = configured(sound);
    (rate.unwrap_or_else(|| u32::from(sound.samplerate.value())), channels.unwrap_or(sound.channelcount))
}

fn configured(sound: &Mp4aBox) -> (Option<u32>, Option<u16>) {
    let Some(esds) = &sound.esds else {
        return (None, None);
    };
    let decoder = &esds.es_desc.dec_config;
    let config = &decoder.dec_specific;
    // MPEG-4 audio, and AAC of MPEG-2; others, such as MP3, have no configuration of this form. The parser reads neither
    // the object types behind the escape (31) nor a rate that is spelled out (15), so those are left to the sample entry.
    let is_aac = matches!(decoder.object_type_indication, 0x40 | 0x66..=0x68);
    if !is_aac || !(1..=30).contains(&config.profile) || config.freq_index == 15 {
        return (None, None);
    }
    // Spectral band replication multiplies the rate, parametric stereo the channels: what comes out is said elsewhere.
    let rate = match config.profile {
        SPECTRAL_BAND_REPLICATION | PARAMETRIC_STEREO => None,
        _ => RATES.get(usize::from(config.freq_index)).copied(),
    };
    let channels = match (config.profile, config.chan_conf) {
        (PARAMETRIC_STEREO, 1) => Some(2),
        (_, index) => channels(index),
    };
    (rate, channels)
}

/// Table 1.19; 0 leaves it to an element inside the stream, and the rest is reserved.
const fn channels(index: u8) -> Option<u16> {
    match index {
        1..=6 => Some(index as u16),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    }
}

const SPECTRAL_BAND_REPLICATION: u8 = 5;
const PARAMETRIC_STEREO: u8 = 29;
/// Table 1.18.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(object: u8, profile: u8, freq_index: u8, chan_conf: u8) -> (u32, u16) {
        let mut sound = Mp4aBox::default();
        if let Some(esds) = &mut sound.esds {
            let decoder = &mut esds.es_desc.dec_config;
            decoder.object_type_indication = object;
            decoder.dec_specific.profile = profile;
            decoder.dec_specific.freq_index = freq_index;
            decoder.dec_specific.chan_conf = chan_conf;
        }
        rate_and_channels(&sound)
    }

    #[test]
    fn the_configuration_goes_before_the_sample_entry() {
        assert_eq!(entry(0x40, 2, 0, 6), (96_000, 6));
        assert_eq!(entry(0x67, 2, 4, 7), (44_100, 8));
        assert_eq!(entry(0x40, 2, 12, 11), (7_350, 7));
    }

    #[test]
    fn what_it_does_not_say_is_left_to_the_sample_entry() {
        let (rate, stereo) = (48_000, 2);
        assert_eq!(rate_and_channels(&Mp4aBox { esds: None, ..Mp4aBox::default() }), (rate, stereo));
        // A channel map inside the stream, a reserved number, a rate spelled out, an escaped object type, and MP3.
        assert_eq!(entry(0x40, 2, 4, 0), (44_100, stereo));
        assert_eq!(entry(0x40, 2, 13, 1), (rate, 1));
        assert_eq!(entry(0x40, 2, 15, 6), (rate, stereo));
        assert_eq!(entry(0x40, 42, 3, 6), (rate, stereo));
        assert_eq!(entry(0x6b, 2, 4, 6), (rate, stereo));
    }

    #[test]
    fn extensions_change_what_comes_out() {
        assert_eq!(entry(0x40, 5, 7, 6), (48_000, 6));
        assert_eq!(entry(0x40, 29, 7, 1), (48_000, 2));
    }
}
