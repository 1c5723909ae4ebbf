using Tanjiren.Cli.Output;

namespace Tanjiren.Cli.Commands.Agent;

internal static class LabelWords
{
    /// <summary>Labels to announce, from <c>KEY=VALUE</c> words; the last one of a key wins.</summary>
    public static Dictionary<string, string> Parse(IEnumerable<string> words)
    {
        var labels = new Dictionary<string, string>();
        foreach (var word in words)
        {
            var equals = word.IndexOf('=');
            if (equals <= 0) throw new CliException($"--label '{Text.Safe(word)}' is not KEY=VALUE", "for example --label site=berlin");
            labels[word[..equals]] = word[(equals + 1)..];
        }
        return labels;
    }
}
