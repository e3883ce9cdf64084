//! Numbers as a line of bars, one character each.

/// From the lowest to the highest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar for each number, the highest for `top` and more; a dot for none, so that nothing and little are told apart.
#[must_use]
pub fn sparkline(numbers: &[u32], top: u32) -> String {
    let top = u64::from(top.max(1));
    let bar = |number: u32| {
        let step = (u64::from(number).min(top) * BARS.len() as u64).div_ceil(top);
        usize::try_from(step).ok().and_then(|step| step.checked_sub(1)).and_then(|at| BARS.get(at)).copied()
    };
    numbers.iter().map(|&number| bar(number).unwrap_or('·')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_nothing_from_little_and_never_leaves_the_line() {
        assert_eq!(sparkline(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 8), "·▁▂▃▄▅▆▇██");
        assert_eq!(sparkline(&[0, 1, 1000], 1000), "·▁█");
        assert_eq!(sparkline(&[u32::MAX, 0], u32::MAX), "█·");
        assert_eq!(sparkline(&[0, 0], 0), "··");
        assert_eq!(sparkline(&[], 3), "");
    }
}
