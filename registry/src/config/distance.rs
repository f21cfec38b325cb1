//! How far two keys are apart, to name the one that was meant. Pure.

/// Returns the least number of letters to insert, delete, replace or swap with a neighbour that
/// makes `left` of `right`, without regard to case (optimal string alignment).
pub(super) fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().map(|letter| letter.to_ascii_lowercase()).collect();
    let right: Vec<char> = right.chars().map(|letter| letter.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row; right.len() + 1];
        for column in 1..=right.len() {
            let differs = usize::from(left[row - 1] != right[column - 1]);
            let mut least = (above[column] + 1).min(current[column - 1] + 1).min(above[column - 1] + differs);
            let swapped = row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1];
            if swapped {
                least = least.min(before[column - 2] + 1);
            }
            current[column] = least;
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn counts_the_edits() {
        let check = |left: &str, right: &str, expect: usize| {
            assert_eq!(distance(left, right), expect, "{left} → {right}");
            assert_eq!(distance(right, left), expect, "{right} → {left}");
        };
        check("", "", 0);
        check("", "port", 4);
        check("port", "port", 0);
        check("PORT", "port", 0);
        check("prot", "port", 1);
        check("por", "port", 1);
        check("ports", "port", 1);
        check("part", "port", 1);
        check("htpaswd", "htpasswd", 1);
        check("kitten", "sitting", 3);
        check("größe", "grösse", 2);
    }
}
