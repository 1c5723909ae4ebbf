using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

/// <summary>docs/operations.md and the options classes say the same.</summary>
public sealed partial class SettingsDocsTests
{
    [Fact]
    public async Task Every_setting_is_documented_with_its_default_and_range_and_none_that_does_not_exist()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var settings = server.App.Services.GetServices<SettingsSection>().SelectMany(Rows).ToList();
        settings.Count.ShouldBeGreaterThan(20);
        Row().Matches(await File.ReadAllTextAsync(Page(), TestContext.Current.CancellationToken)).Select(row => row.Groups["row"].Value).ShouldBe(settings, ignoreOrder: true);
    }

    private static IEnumerable<string> Rows(SettingsSection section)
    {
        var defaults = Activator.CreateInstance(section.Options)!;
        foreach (var property in section.Options.GetProperties().Where(p => p.CanWrite))
        {
            var name = $"Tanjiren:{section.Feature}:{property.Name}";
            if (property.GetCustomAttribute<RangeAttribute>() is { } range)
                yield return string.Create(CultureInfo.InvariantCulture, $"`{name}` | {property.GetValue(defaults)} | {range.Minimum}-{range.Maximum} |");
            else if (property.PropertyType == typeof(IList<string>))
                yield return $"`{name}:0`, `:1` … | none | - |";
            else if (property.PropertyType == typeof(bool))
                yield return $"`{name}` | {((bool)property.GetValue(defaults)! ? "true" : "false")} | true, false |";
            else if (property.PropertyType == typeof(string))
                yield return $"`{name}` | {property.GetValue(defaults) ?? "none"} | - |";
            else
                throw new InvalidOperationException($"{name} is a number without [Range].");
        }
    }

    private static string Page([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "..", "docs", "operations.md");

    [GeneratedRegex(@"^\| (?<row>`Tanjiren:[^|]+\|[^|]+\|[^|]+\|)", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Row();
}
