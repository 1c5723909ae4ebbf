using Tanjiren.Cli.Output;

namespace Tanjiren.Cli.Commands.Doctrine;

internal static class DoctrineWords
{
    /// <summary>Nobody wrote what an organization begins with.</summary>
    public static string Author(string? author) => author is null ? "from the start" : $"by {Text.Safe(author)}";
}
