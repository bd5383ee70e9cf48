/// The one of `candidates` that `name` was most likely meant to be; nil where none is near.
func nearestName(to name: String, among candidates: [String]) -> String? {
    let limit = max(1, min(3, name.count / 3))
    return
        candidates
        .map { (name: $0, distance: editDistance(name.lowercased(), $0.lowercased())) }
        .filter { $0.distance <= limit }
        .min { $0.distance < $1.distance }?
        .name
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one text into the other.
/// Texts beyond 64 characters are as far apart as can be.
func editDistance(_ left: String, _ right: String) -> Int {
    let left = Array(left.prefix(65))
    let right = Array(right.prefix(65))
    if left.count > 64 || right.count > 64 { return Int.max }
    var before: [Int] = []
    var previous = Array(0...right.count)
    for i in 0..<left.count {
        var row = [i + 1]
        for j in 0..<right.count {
            var best = min(previous[j + 1] + 1, row[j] + 1, previous[j] + (left[i] == right[j] ? 0 : 1))
            if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] {
                best = min(best, before[j - 1] + 1)
            }
            row.append(best)
        }
        before = previous
        previous = row
    }
    return previous[right.count]
}
