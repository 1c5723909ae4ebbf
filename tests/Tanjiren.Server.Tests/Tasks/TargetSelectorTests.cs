using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class TargetSelectorTests
{
    private static readonly Dictionary<string, string> Machine = new() { ["os"] = "linux", ["cpuCount"] = "8", ["memoryMb"] = "16000", ["gpu"] = "nvidia" };

    [Theory]
    [InlineData("os", "linux", true)]
    [InlineData("os", "Linux", false)]
    [InlineData("cpuCount", "8", true)]
    [InlineData("cpuCount", "8.0", true)]
    [InlineData("cpuCount", ">=8", true)]
    [InlineData("cpuCount", ">8", false)]
    [InlineData("cpuCount", "<=8", true)]
    [InlineData("cpuCount", "<8", false)]
    [InlineData("memoryMb", ">=9000", true)]
    [InlineData("os", ">=1", false)]
    [InlineData("region", "eu", false)]
    public void Labels_compare_as_text_or_as_numbers(string label, string required, bool expected) =>
        TargetSelector.Create(null, new TargetSpec { Labels = new Dictionary<string, string> { [label] = required } }, null)
            .Matches("ws_1", [], Machine).ShouldBe(expected);

    [Fact]
    public void Every_tag_must_be_set()
    {
        var selector = TargetSelector.Create(null, new TargetSpec { Tags = ["gpu", "lab"] }, null);
        selector.Matches("ws_1", ["lab", "gpu", "extra"], Machine).ShouldBeTrue();
        selector.Matches("ws_1", ["gpu"], Machine).ShouldBeFalse();
    }

    [Theory]
    [InlineData(8.0, null, true)]
    [InlineData(8.5, null, false)]
    [InlineData(null, 16000, true)]
    [InlineData(null, 16001, false)]
    public void Resource_requests_are_conditions_on_announced_labels(double? cpu, int? memoryMb, bool expected) =>
        TargetSelector.Create(null, new TargetSpec { Labels = new Dictionary<string, string> { ["os"] = "linux" } }, new ResourceSpec { Cpu = cpu, MemoryMb = memoryMb })
            .Matches("ws_1", [], Machine).ShouldBe(expected);

    [Fact]
    public void A_label_condition_and_a_resource_request_on_one_label_both_hold()
    {
        var targets = new TargetSpec { Labels = new Dictionary<string, string> { ["memoryMb"] = ">=20000" } };
        TargetSelector.Create(null, targets, new ResourceSpec { MemoryMb = 8000 }).Matches("ws_1", [], Machine).ShouldBeFalse();
        targets = new TargetSpec { Labels = new Dictionary<string, string> { ["memoryMb"] = "<20000" } };
        TargetSelector.Create(null, targets, new ResourceSpec { MemoryMb = 8000 }).Matches("ws_1", [], Machine).ShouldBeTrue();
        TargetSelector.Create(null, targets, new ResourceSpec { MemoryMb = 18000 }).Matches("ws_1", [], Machine).ShouldBeFalse();
    }

    [Fact]
    public void A_request_for_a_gpu_needs_one_and_a_request_for_none_needs_nothing()
    {
        var targets = new TargetSpec { Labels = new Dictionary<string, string> { ["os"] = "linux" } };
        TargetSelector.Create(null, targets, new ResourceSpec { GpuCount = 1 }).Matches("ws_1", [], Machine).ShouldBeFalse();
        TargetSelector.Create(null, targets, new ResourceSpec { GpuCount = 0 }).Matches("ws_1", [], Machine).ShouldBeTrue();
    }

    [Fact]
    public void Equal_selectors_have_one_canonical_form()
    {
        var one = TargetSelector.Create(["ws_b", "ws_a"], new TargetSpec { Tags = ["x", "y"], Labels = new Dictionary<string, string> { ["a"] = "1", ["b"] = "2" } }, null);
        var other = TargetSelector.Create(["ws_a", "ws_b"], new TargetSpec { Tags = ["y", "x", "x"], Labels = new Dictionary<string, string> { ["b"] = "2", ["a"] = "1" } }, null);
        one.ToCanonical().ShouldBe(other.ToCanonical());
        TargetSelector.Parse(one.ToCanonical()).Matches("ws_a", ["x", "y"], new Dictionary<string, string> { ["a"] = "1", ["b"] = "2" }).ShouldBeTrue();
        TargetSelector.Parse(one.ToCanonical()).Matches("ws_c", ["x", "y"], new Dictionary<string, string> { ["a"] = "1", ["b"] = "2" }).ShouldBeFalse();
    }

    [Fact]
    public void A_prompt_is_a_condition_on_coding_agents_and_a_command_is_none()
    {
        var prompt = new CreateTaskRequest { Mode = TaskMode.Prompt, PromptText = "Why?", Targets = new TargetSpec { Tags = ["x"] } };
        var any = TargetSelector.Parse(TargetSelector.Of(prompt, null).ToCanonical());
        any.Matches("ws_1", ["x"], Machine, ["codex"]).ShouldBeTrue();
        any.Unmet("ws_1", ["x"], Machine, []).Single().ShouldBe(new UnmetCondition(ConditionKind.CodingAgent, TargetSelector.AnyCodingAgent, "", null));
        any.Matches("ws_1", ["x"], Machine).ShouldBeFalse();

        var claude = TargetSelector.Of(prompt with { CodingAgent = "claude" }, null);
        claude.Matches("ws_1", ["x"], Machine, ["claude", "codex"]).ShouldBeTrue();
        claude.Matches("ws_1", ["x"], Machine, ["codex"]).ShouldBeFalse();

        // Stored selectors of earlier versions stay equal to those of commands.
        TargetSelector.Of(prompt with { Mode = TaskMode.Command }, null).ToCanonical().ShouldNotContain("codingAgent");
    }
}
